from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from maescan.cli import app, events
from maescan.cli.events import Show
from maescan.cli.options import PresetOption, signature_kept_or_told
from maescan.config import PRESETS
from maescan.engines.signing import SIGNATURE
from maescan.options import CandidateTable, EngineOptions, LungTiles, ReadOptions
from maescan.scoring.options import (
    AlertOptions,
    CalibrateOptions,
    Format,
    RayOptions,
    ScoreOptions,
    Shard,
    WatchOptions,
)
from maescan.scoring.summary import Summary
from maescan.scoring.watch import Inbox

SUMMARY = Summary([], [], 0, 1.0, 0, {})


@pytest.mark.parametrize(
    "command", ["train D -o R", "prepare D -o C", "phantom P", "demo", "evaluate D --bundle B -o R", "compare A B"]
)
@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_generator_takes_is_refused_as_it_is_typed(command, seed, tmp_path, monkeypatch):
    """After the scans were read the generators' own errors were called faults of maescan."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command.split(), "--seed", seed])
    assert done.exit_code == 2 and "Invalid value for '--seed'" in done.output


@pytest.fixture
def called(monkeypatch):
    """Runs a command line; what the one function under it was called with."""

    def run(function, answer, *arguments):
        calls = []
        monkeypatch.setattr(function, lambda *args, **kwargs: calls.append((args, kwargs)) or answer)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return calls[0]

    return run


def listened(monkeypatch, name):
    """What a command asked to be listened to with, and what it was given for it."""
    heard = []

    def listen(name, facts):
        pass

    @contextlib.contextmanager
    def given(*asked):
        heard.append(asked)
        yield listen

    monkeypatch.setattr(events, name, given)
    return heard, listen


def test_score_without_flags_is_the_defaults(called):
    args, _ = called("maescan.scoring.run.score_paths", SUMMARY, "score", "in", "--bundle", "b", "--out", "o")
    assert args[:5] == ([Path("in")], Path("b"), Path("o"), EngineOptions(), ScoreOptions())


def test_every_flag_of_score_arrives(called, monkeypatch, tmp_path):
    heard, listen = listened(monkeypatch, "of_score")
    (tmp_path / "c.csv").write_text("table")
    alerts = "--include *.nii --include *.mha --exclude *mask* --on-alert mail --fail-on-alert --log l"
    typed = f"score in --bundle b --out o --device cuda:1 --precision bf16 --target onnx --threads 3 --volume 2 \
        --accept tilt,shear --candidates {tmp_path / 'c.csv'} --limit-seconds 7 --maps --force --workers 4 --batch 8 \
        --shard 2/5 --alert-rate 0.1 --pictures 0 --format parquet --quiet {alerts}"
    args, kwargs = called("maescan.scoring.run.score_paths", SUMMARY, *typed.split())
    read = ReadOptions(
        volume=2, accept=frozenset({"tilt", "shear"}), regions=CandidateTable.read(tmp_path / "c.csv"), limit_s=7.0
    )
    assert args[3] == EngineOptions(device="cuda:1", precision="bf16", target="onnx", threads=3)
    assert args[4] == ScoreOptions(
        read=read, maps=True, force=True, workers=4, batch=8, shard=Shard(2, 5), alert_rate=0.1, pictures=0,
        format=Format.parquet, include=("*.nii", "*.mha"), exclude=("*mask*",),
    )  # fmt: skip
    assert kwargs == {} and args[5] is listen
    assert heard == [(Show.nothing, AlertOptions(on_alert="mail", fail_on_alert=True, log=Path("l")))]


def test_ray_gets_the_options_of_score(called):
    typed = "score in --bundle b --out o --ray auto --ray-actors 2 --tile"
    args, _ = called("maescan.scoring.on_ray.score_on_ray", SUMMARY, *typed.split())
    tiled = ScoreOptions(read=ReadOptions(regions=LungTiles()))
    assert args[3:] == (RayOptions(address="auto", actors=2), EngineOptions(), tiled) and args[5].maps


def test_watch_takes_what_score_takes(called, monkeypatch):
    heard, listen = listened(monkeypatch, "of_watch")
    typed = "watch in --bundle b --out o --alert-rate 0.2 --pictures 3 --accept tilt --volume 1 --tile --threads 2 \
        --settle 1 --poll 0.1 --workers 1 --batch 2 --json"
    args, kwargs = called("maescan.scoring.run.watch_inbox", SUMMARY, *typed.split())
    read = ReadOptions(accept=frozenset({"tilt"}), volume=1, regions=LungTiles())
    assert args[0] == Inbox(Path("in"), WatchOptions(settle_s=1.0, poll_s=0.1))
    options = ScoreOptions(read=read, alert_rate=0.2, pictures=3, workers=1, batch=2)
    assert args[3:] == (EngineOptions(threads=2), options, listen) and kwargs == {}
    assert heard == [(Show.json, AlertOptions())]


def test_calibrate_takes_regions_and_may_leave_scans_out(called):
    answer = {"scans": [0.5] * 40, "slices": [0.5]}, [{"scan": "junk.nii", "reason": "is truncated"}]
    typed = "calibrate b healthy --tile --device cuda --skip-failed --workers 3"
    args, kwargs = called("maescan.scoring.calibrate.calibrate", answer, *typed.split())
    options = replace(ScoreOptions(workers=3, pictures=0), read=ReadOptions(regions=LungTiles()))
    assert args[2:5] == (EngineOptions(device="cuda"), options, CalibrateOptions(skip_failed=True)) and kwargs == {}


def flags_of(command):
    """The options of a command, as they are typed."""
    from typer.main import get_command

    return {flag for item in get_command(app).commands[command].params for flag in item.opts if flag.startswith("--")}


def test_watch_and_calibrate_take_every_option_of_score_that_means_anything_there():
    """A scan in an inbox is in no shard and never scored twice; Ray has no inbox. A calibration writes no maps."""
    score, watch, calibrate = (flags_of(command) for command in ("score", "watch", "calibrate"))
    assert score - watch == {"--shard", "--force", "--ray", "--ray-actors"}
    assert watch - score == {"--settle", "--poll"}
    writing = {"--maps", "--pictures", "--format", "--alert-rate", "--shard", "--force", "--ray", "--ray-actors"}
    telling = {"--bundle", "--on-alert", "--fail-on-alert", "--log", "--json", "--dicom-out", "--max-map"}
    assert score - calibrate == writing | telling
    assert calibrate - score == {"--aggregation", "--skip-failed", "--fewer"}


CT = ("luna16", "scores patches of a CT")
MR = ("tiny", "scores whole slices")


@pytest.mark.parametrize(("of", "said", "typed"), [(*CT, ()), (*MR, ("--tile",))])
def test_what_score_refuses_watch_and_calibrate_refuse(monkeypatch, tmp_path, capsys, of, said, typed):
    from helpers.scoring_stub import write_scan
    from helpers.stubs import StubEngine, stub_bundle
    from maescan.cli import main

    write_scan(tmp_path / "in" / "a.nii.gz", 0)
    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path: stub_bundle(of))
    monkeypatch.setattr("maescan.engines.load", lambda *_, **__: StubEngine())
    for command in ("score", "watch", "calibrate"):
        where = [tmp_path, tmp_path / "in"] if command == "calibrate" else [tmp_path / "in", "--bundle", "b"]
        line = ["maescan", command, *where, "--out", tmp_path / command, *typed]
        monkeypatch.setattr("sys.argv", [str(word) for word in line])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2 and said in capsys.readouterr().err, command


def test_help_names_every_preset():
    said = get_args(PresetOption)[1].help
    assert PRESETS and not [name for name in PRESETS if f"{name}," not in said]


def test_a_signature_that_ends_is_told_of(tmp_path, capsys):
    (tmp_path / SIGNATURE).write_text("")
    with signature_kept_or_told(tmp_path):
        pass
    assert capsys.readouterr().err == ""
    with pytest.raises(KeyError), signature_kept_or_told(tmp_path):
        (tmp_path / SIGNATURE).unlink()
        raise KeyError
    told = f"signature is gone with what it signed: sign it anew, maescan sign {tmp_path} --key KEY\n"
    assert told in capsys.readouterr().err
    with signature_kept_or_told(tmp_path):
        pass
    assert capsys.readouterr().err == ""
