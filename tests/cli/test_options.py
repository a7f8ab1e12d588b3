from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maescan.cli import app
from maescan.options import CandidateTable, EngineOptions, LungTiles, ReadOptions
from maescan.scoring.options import AlertOptions, Format, RayOptions, ScoreOptions, Shard, WatchOptions
from maescan.scoring.summary import Summary

SUMMARY = Summary([], [], 0, 1.0, 0, {})


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


def test_score_without_flags_is_the_defaults(called):
    args, _ = called("maescan.scoring.run.score_paths", SUMMARY, "score", "in", "--bundle", "b", "--out", "o")
    assert args == ([Path("in")], Path("b"), Path("o"), EngineOptions(), ScoreOptions())


def test_every_flag_of_score_arrives(called, tmp_path):
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
    told = AlertOptions(on_alert="mail", fail_on_alert=True, log=Path("l"))
    assert kwargs == {"alerts": told, "show": "quiet"}


def test_ray_gets_the_options_of_score(called):
    typed = "score in --bundle b --out o --ray auto --ray-actors 2 --tile"
    args, _ = called("maescan.scoring.on_ray.score_on_ray", SUMMARY, *typed.split())
    tiled = ScoreOptions(read=ReadOptions(regions=LungTiles()))
    assert args[3:] == (RayOptions(address="auto", actors=2), EngineOptions(), tiled) and args[5].maps


def test_watch_takes_what_score_takes(called):
    typed = "watch in --bundle b --out o --alert-rate 0.2 --pictures 3 --accept tilt --volume 1 --tile --threads 2 \
        --settle 1 --poll 0.1 --workers 1 --batch 2 --json"
    args, kwargs = called("maescan.scoring.run.watch_inbox", SUMMARY, *typed.split())
    read = ReadOptions(accept=frozenset({"tilt"}), volume=1, regions=LungTiles())
    assert args[3:] == (
        EngineOptions(threads=2),
        ScoreOptions(read=read, alert_rate=0.2, pictures=3, workers=1, batch=2),
        WatchOptions(settle_s=1.0, poll_s=0.1),
    )
    assert kwargs == {"alerts": AlertOptions(), "show": "json"}


def test_calibrate_takes_regions_and_may_leave_scans_out(called):
    answer = {"scans": [0.5] * 40, "slices": [0.5]}, [{"scan": "junk.nii", "reason": "is truncated"}]
    typed = "calibrate b healthy --tile --device cuda --skip-failed --workers 3"
    args, kwargs = called("maescan.scoring.calibrate.calibrate", answer, *typed.split())
    options = replace(ScoreOptions(workers=3, pictures=0), read=ReadOptions(regions=LungTiles()))
    assert args[2:] == (EngineOptions(device="cuda"), options)
    assert kwargs == {"rule": None, "skip_failed": True}
