"""What every command has in common."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from helpers.marks import slow
from maescan.cli import app, conventions
from maescan.cli.examples import EXAMPLES
from maescan.errors import ConfigError, DeviceLostError
from maescan.options import EngineOptions
from maescan.scoring.summary import Summary

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {conventions.name_of(info): info for info in app.registered_commands}
SCORE = ("score", "in", "--bundle", "b", "--out", "o")


@pytest.fixture
def scored(monkeypatch):
    """Runs a command line; what `score_paths` was called with."""

    def run(*arguments, **environment):
        calls = []
        answer = Summary([], [], 0, 1.0, 0, {})
        monkeypatch.setattr("maescan.scoring.run.score_paths", lambda *a, **k: calls.append((a, k)) or answer)
        done = CliRunner().invoke(app, list(map(str, arguments)), env=environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return calls[0][0]

    return run


@pytest.fixture
def config(tmp_path):
    def write(text):
        file = tmp_path / "maescan.toml"
        file.write_text(text)
        return file

    return write


def test_short_options_of_all_commands():
    assert CliRunner().invoke(app, ["--version"]).output.startswith("maescan ")
    assert "score" in CliRunner().invoke(app, ["-h"]).output


@pytest.mark.parametrize("command", ["score", "export", *slow(*sorted(set(COMMANDS) - {"score", "export"}))])
def test_short_options_of_a_command(command):
    shown = CliRunner().invoke(app, [command, "-h"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and f"Example: maescan {command}" in shown.output, shown.output
    assert "--config" in shown.output and "-v" in shown.output


def test_every_command_has_an_example_that_parses():
    assert set(EXAMPLES) == set(COMMANDS)
    root = typer.main.get_command(app)
    for command, (_, example) in EXAMPLES.items():
        words = shlex.split(example)
        assert words[:2] == ["maescan", command]
        context = root.commands[command].make_context(command, words[2:])  # raises for what does not parse
        assert context.params


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_files_and_the_environment_call_options_as_they_are_typed(command):
    """Without their dashes; what all have is known apart."""
    shared = {"config", "verbose"}
    parameters = [p for p in typer.main.get_command(app).commands[command].params if p.param_type_name == "option"]
    typed = {next(text for text in p.opts if text.startswith("--"))[2:]: p.name for p in parameters}
    named = conventions.options_of(COMMANDS[command])
    assert {k: v for k, v in named.items() if k not in shared} == {k: v for k, v in typed.items() if k not in shared}


def test_every_maescan_variable_that_is_read_is_known():
    pattern = re.compile(r"(?:environ|getenv)\W+(?:get\(|setdefault\()?\W*(MAESCAN_[A-Z_]+)")
    files = [file for folder in ("python", "export", "tests", "bench") for file in (ROOT / folder).rglob("*.py")]
    read = {name for file in files if file != Path(__file__) for name in pattern.findall(file.read_text())}
    assert read and read - conventions.OTHERS == set()


def test_the_environment_gives_options_and_what_is_typed_wins(scored):
    assert scored(*SCORE, MAESCAN_DEVICE="auto")[3] == EngineOptions(device="auto")
    assert scored(*SCORE, MAESCAN_SCORE_WORKERS="5", MAESCAN_WORKERS="4")[4].workers == 5
    assert scored(*SCORE, "--workers", "3", MAESCAN_WORKERS="4")[4].workers == 3
    assert scored("score", "in", MAESCAN_BUNDLE="b", MAESCAN_OUT="o")[1:3] == (Path("b"), Path("o"))


def test_an_empty_variable_counts_as_not_set(scored):
    """As containers write those that they pass on."""
    empty = dict.fromkeys(("MAESCAN_SCORE_WORKERS", "MAESCAN_ALERT_RATE", "MAESCAN_ACCEPT", "MAESCAN_CONFIG"), "")
    assert scored(*SCORE, MAESCAN_WORKERS="7", **empty)[4].workers == 7


def test_a_file_gives_options_and_what_is_typed_wins(scored, config):
    file = config('bundle = "b"\nworkers = 4\n[score]\nout = "o"\nmaps = true\nworkers = 5\ninclude = ["*.nii"]\n')
    paths, bundle, out, _, options, _ = scored("score", "in", "--config", file)
    assert (paths, bundle, out) == ([Path("in")], Path("b"), Path("o"))
    assert options.maps and options.workers == 5 and options.include == ("*.nii",)
    assert scored("score", "in", "--config", file, "--workers", "3")[4].workers == 3
    assert scored("score", "in", "--config", file, MAESCAN_WORKERS="6")[4].workers == 6
    assert scored("score", "in", MAESCAN_CONFIG=str(file))[4].workers == 5


def test_an_option_is_named_in_a_file_as_it_is_typed(scored, config):
    assert conventions.options_of(COMMANDS["score"])["json"] == "json_events"
    shown = CliRunner().invoke(app, [*SCORE, "--config", str(config("json = 3"))])
    assert "maescan.toml: --json: " in str(shown.exception)
    scored(*SCORE, "--config", config("json = true"), MAESCAN_QUIET="1")


def test_names_by_commas_may_be_a_list(scored, config):
    options = scored(*SCORE, "--config", config('[score]\naccept = ["tilt", "shear"]\nalert-rate = 0.1\n'))[4]
    assert options.read.accept == {"tilt", "shear"} and options.alert_rate == 0.1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker = 4", "no command has an option 'worker' (perhaps workers?)"),
        ("[score]\nepochs = 4", "score has no option 'epochs'"),
        ("[scores]\nworkers = 4", "there is no command 'scores' (perhaps score?)"),
        ("workers = ", "is no TOML"),
        pytest.param(f"workers = {'[' * 99999}", "is no TOML", id="nested without an end"),
        pytest.param(f"workers = {'9' * 9999}", "is no TOML", id="a number without an end"),
    ],
)
def test_an_unknown_key_is_an_error(config, text, words):
    with pytest.raises(ConfigError) as error:
        CliRunner().invoke(app, [*SCORE, "--config", str(config(text))], catch_exceptions=False)
    assert words in str(error.value) and "maescan.toml" in str(error.value)


@pytest.mark.parametrize("value", ['"four"', "true", "1.5", "0", "[1, 2]", "2026-01-01"])
def test_a_value_that_does_not_do_is_an_error_that_names_the_file(config, value):
    with pytest.raises(ConfigError, match=r"maescan.toml: --workers: .+ \(maescan score -h says what it takes\)"):
        CliRunner().invoke(app, [*SCORE, "--config", str(config(f"workers = {value}"))], catch_exceptions=False)


def test_a_flag_in_a_file_is_true_or_false(scored, config):
    assert scored(*SCORE, "--config", config("maps = true"))[4].maps
    assert not scored(*SCORE, "--config", config("maps = false"))[4].maps
    with pytest.raises(ConfigError, match=r"maescan.toml: --maps: "):
        CliRunner().invoke(app, [*SCORE, "--config", str(config('maps = "perhaps"'))], catch_exceptions=False)


def test_a_single_glob_need_not_be_a_list(scored, config):
    assert scored(*SCORE, "--config", config('include = "*.nii"'))[4].include == ("*.nii",)


@pytest.mark.parametrize("variable", ["MAESCAN_WORKERS", "MAESCAN_SCORE_WORKERS"])
def test_a_value_that_does_not_do_is_an_error_that_names_the_variable(variable):
    with pytest.raises(ConfigError, match=rf"^{variable}: --workers: "):
        CliRunner().invoke(app, list(SCORE), env={variable: "four"}, catch_exceptions=False)


def test_a_value_that_is_typed_is_refused_as_ever():
    done = CliRunner().invoke(app, [*SCORE, "--workers", "four"], env={"MAESCAN_WORKERS": "4"})
    assert done.exit_code == 2 and "--workers" in done.output


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read"):
        CliRunner().invoke(app, [*SCORE, "--config", str(tmp_path / "none.toml")], catch_exceptions=False)


def test_an_unknown_variable_is_an_error():
    with pytest.raises(ConfigError, match=r"MAESCAN_WORKRES .*perhaps MAESCAN_\w*WORKERS"):
        CliRunner().invoke(app, list(SCORE), env={"MAESCAN_WORKRES": "4"}, catch_exceptions=False)


def test_a_lost_gpu_has_an_exit_code_of_its_own(monkeypatch):
    """2 is for wrong input, after which nothing starts a command again."""

    def lost(*_, **__):
        raise DeviceLostError("the GPU is lost", remedy="start the command again")

    monkeypatch.setattr("maescan.scoring.run.score_paths", lost)
    done = CliRunner().invoke(app, SCORE)
    assert done.exit_code == conventions.LOST == 6
    assert done.stderr == "maescan: the GPU is lost (start the command again)\n"


@pytest.mark.parametrize(
    "typed",
    [
        ("score", "", "--bundle", "b", "--out", "o"),
        ("score", ".", "", "--bundle", "b", "--out", "o"),
        ("score", "in", "--bundle", "b", "--out="),
        ("score", "in", "--bundle", "", "--out", "o", "--accept", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(typed):
    with pytest.raises(ConfigError, match=r"a path is empty .is a variable of the shell not set"):
        CliRunner().invoke(app, typed, catch_exceptions=False)


def test_the_current_folder_and_empty_texts_that_are_no_paths_are_taken(scored):
    assert scored("score", ".", "--bundle", "b", "--out", "o", "--accept", "")[0] == [Path()]
    assert scored("score", "in", "--bundle=.", "--out", "o", "--dicom-out=")[0] == [Path("in")]
