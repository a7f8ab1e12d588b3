"""What a command's help says, beside what Typer takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from maescan.cli import app, assembly, usage

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_all_that_a_command_takes_is_told(name):
    text = assembly.help_of(name)
    words = {word.strip(",") for word in text.split()}
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            typed = parameter.metavar or parameter.name.upper()  # what Typer's errors call it too
            assert {typed, f"{typed}...", f"[{typed}]"} & words
        else:
            assert {*parameter.opts, *parameter.secondary_opts} <= words
        assert " ".join((parameter.help or "").split()) in " ".join(text.split())
    flags = {flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    told = {line.split()[0].strip(",") for line in text.splitlines() if line.startswith("  -")}
    assert told <= {*flags, "-h"}
    assert f"Example: maescan {name}" in text
    assert text.count("[required]") == sum(parameter.required for parameter in COMMANDS[name].params)


ARGUMENTS = {
    name: [each.metavar for each in command.params if each.param_type_name == "argument"]
    for name, command in COMMANDS.items()
}


@pytest.mark.parametrize("name", [name for name, called in ARGUMENTS.items() if called])
def test_an_argument_that_is_missing_is_called_as_help_calls_it(name):
    done = CliRunner().invoke(app, [name])
    assert done.exit_code == 2
    for called in ARGUMENTS[name]:
        assert called in done.output and f" {called}" in assembly.help_of(name)


def test_kinds_ranges_choices_and_defaults_are_told():
    text = " ".join(assembly.help_of("score").split())
    for part in (
        "Usage: maescan score [OPTIONS] PATHS...",
        "--alert-rate NUMBER Share of healthy scans that may alert. [from 0 to 1] [default: 0.05]",
        "--format csv|parquet parquet: scores.parquet beside scores.csv. [default: csv]",
        "-o, --out PATH Folder to write into. [required]",
        "--maps Also write heat maps as NIfTI on each scan's grid. --force",
    ):
        assert part in text
    assert "--cuda-graphs" not in text and assembly.help_of("no-such-command") == ""


def test_lines_fit_the_terminal():
    for info in app.registered_commands:
        lines = usage.usage(info, 100).split("Example:")[0].splitlines()
        assert max(map(len, lines)) <= 100, info.name


def test_it_is_the_same_in_a_longer_line_and_neither_rich_nor_pydantic_is_loaded_for_it():
    text = assembly.help_of("merge")
    assert CliRunner().invoke(app, ["merge", "a", "--help"]).output.split() == text.split()
    code = (
        "import atexit, sys; atexit.register(lambda: print({'rich', 'pydantic', 'numpy'} & set(sys.modules)));"
        " sys.argv = ['maescan', 'merge', '-h']; import maescan.cli; maescan.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == [*text.split(), "set()"], done.stderr
