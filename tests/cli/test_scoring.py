"""How commands that score end, and what they say at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from maescan.cli import app, scoring
from maescan.errors import ConfigError, DataError
from maescan.files import claim
from maescan.scoring.options import AlertOptions, ScoreOptions, Shard
from maescan.scoring.summary import Summary

FAILED = {"scan": "b.nii", "reason": "is no scan", "remedy": "look at it", "stage": "read", "file": ""}
DONE = Summary([], [], 0, 1.5, 0, {})
CHANGED = SimpleNamespace(changed_at=3, warnings=lambda: {"martingale": "scans are no longer alike"})
STILL = SimpleNamespace(changed_at=None, warnings=dict)


def typed(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.parametrize(
    ("summary", "alerts", "code"),
    [
        (DONE, AlertOptions(), 0),
        (replace(DONE, failures=[FAILED]), AlertOptions(), 3),
        (replace(DONE, refused=[FAILED]), AlertOptions(), 3),
        (replace(DONE, scored=[{"alert": "yes"}], failures=[FAILED]), AlertOptions(fail_on_alert=True), 4),
        (replace(DONE, scored=[{"alert": "yes"}]), AlertOptions(), 0),
        (replace(DONE, scored=[{"alert": "no"}]), AlertOptions(fail_on_alert=True), 0),
        (replace(DONE, population=CHANGED, failures=[FAILED]), AlertOptions(), 5),
        (replace(DONE, population=STILL), AlertOptions(), 0),
    ],
)
def test_how_a_run_ends(summary, alerts, code, capsys):
    try:
        scoring.leave(replace(summary, notes=["a note"]), alerts)
        found = 0
    except typer.Exit as leaving:
        found = leaving.exit_code
    said = capsys.readouterr().err
    assert found == code and said.startswith("warning: a note\n")
    assert ("scans are no longer alike" in said) is (summary.population is CHANGED)


@pytest.fixture
def scored(monkeypatch):
    """Types `score`, which ends with this summary."""

    def run(summary, *words):
        monkeypatch.setattr("maescan.scoring.run.score_paths", lambda *given: summary)
        return typed("score", "in", "--bundle", "b", "--out", "o", *words)

    return run


def test_score_says_what_it_did(scored):
    rows = [{"alert": "", "scan": name} for name in "abc"]
    passed = {"labels": 1, "picture": 2}
    summary = replace(DONE, scored=rows, skipped=2, slices=1, failures=[FAILED], passed_over=passed, archive=9,
                      gone=["w", "x", "y", "z"], other_jobs=4)  # fmt: skip
    done = scored(summary)
    assert done.exit_code == 3
    assert done.stdout.splitlines()[:4] == [
        "1 scan scored, 2 reused, 1 failed, 1 label map, 2 localizers and other pictures passed over,"
        " 1 slice in 1.5 s: o/report.html",
        "the tables hold 9 scans, with those of earlier runs",
        "no longer where they were: w, x, y and 1 other",
        "4 scans scored with another bundle, engine or options: in no table",
    ]
    assert done.stderr == "b.nii: is no scan (look at it)\n"


def test_score_says_where_it_stands_why_nothing_was_scored(scored):
    done = scored(replace(DONE, scored=[], failures=[], passed_over={"picture": 1}))
    assert "maescan: nothing was scored: o/passed_over.csv has the reasons\n" in done.stderr
    row = {"alert": "", "scan": "a"}
    assert "nothing was scored" not in scored(replace(DONE, scored=[row], passed_over={"picture": 1})).stderr


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (None, "no p-values or alerts: calibrate the bundle with `maescan calibrate b HEALTHY_SCANS`"),
        ({"alert_rate": 0.0, "can_alert": False, "scans": 5}, "no scan can alert at a rate of 0"),
        (
            {"alert_rate": 0.05, "can_alert": False, "scans": 5},
            "that takes 19 healthy scans, the bundle was calibrated",
        ),
        ({"alert_rate": 0.05, "can_alert": True, "scans": 19}, ""),
    ],
)
def test_score_says_whether_a_scan_can_alert(scored, state, said):
    done = scored(replace(DONE, calibration=state))
    lines = done.stdout.splitlines()[1:]
    assert said in done.stdout and (said or not [line for line in lines if "alert" in line])


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_nothing_else_is_said_where_a_program_listens(scored, flag):
    assert scored(DONE, flag).output == ""


@pytest.mark.parametrize("command", ["score", "watch"])
@pytest.mark.parametrize("made", [True, False])
def test_a_log_in_the_output_folder_does_not_make_it_another_s(monkeypatch, tmp_path, command, made):
    out, run = tmp_path / "out", {"score": "score_paths", "watch": "watch_inbox"}[command]
    monkeypatch.setattr(f"maescan.scoring.run.{run}", lambda *given: claim(given[2], "scores") or DONE)
    if made:
        out.mkdir()
    for _ in range(2):
        typed(command, tmp_path, "--bundle", "b", "--out", out, "--log", out / "events", "--quiet")
        assert (out / "events").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scan.nii").write_text("mine")
    with pytest.raises(DataError, match="holds files that maescan did not write"):
        typed(command, tmp_path, "--bundle", "b", "--out", tmp_path / "mine", "--log", tmp_path / "mine" / "events")
    assert not (tmp_path / "mine" / "events").exists()


@pytest.mark.parametrize("words", [("--shard", "1/2"), ("--json",), ("--on-alert", "mail"), ("--log", "l")])
def test_ray_makes_shards_of_its_own(scored, words):
    with pytest.raises(ConfigError, match=r"--ray makes shards of its own.*leave out --shard"):
        scored(DONE, "--ray", "local", *words)


def test_results_that_a_package_is_missing_for_are_refused_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(scoring, "require", lambda *given: asked.append(given))
    scoring.check_format(ScoreOptions(shard=Shard(1, 1)))
    scoring.check_format(ScoreOptions(dicom=("sr",)))
    assert asked == [("highdicom", "--dicom-out")]


def test_a_calibration_says_how_many_healthy_scans_may_alert(monkeypatch, tmp_path):
    reference = {"scans": [0.5] * 40, "slices": [0.5] * 90}
    monkeypatch.setattr("maescan.scoring.calibrate.calibrate", lambda *given: (reference, []))
    done = typed("calibrate", tmp_path, "healthy", "--quiet")
    assert "alerts are possible at rates from 0.025\n" in done.stdout  # at 0.024, 1 / 41 rounded, none is
    assert "alert on average, at most; over 0.113 with 1 of 20 references of 40 scans\n" in done.stdout


def test_a_calibration_says_what_it_allows(monkeypatch, tmp_path):
    reference = {"scans": [0.5] * 9, "slices": [0.5] * 90}

    def made(bundle, *given):
        (bundle / "manifest.json.minisig").unlink()
        return reference, [FAILED]

    monkeypatch.setattr("maescan.scoring.calibrate.calibrate", made)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json.minisig").write_text("")
    monkeypatch.setattr("maescan.scoring.calibrate.reference_told", lambda bundle: "40 scans")
    done = typed("calibrate", tmp_path / "b", "healthy", "--quiet")
    assert "they replace a reference of 40 scans\n" in done.stdout
    assert "9 healthy scans, 90 slices; alerts are possible at rates from 0.100" in done.stdout
    assert "at the default rate" not in done.stdout
    assert "b-calibration/report.html" in done.stdout
    assert done.stderr.splitlines() == [
        f"the bundle's signature is gone with what it signed: sign it anew, maescan sign {tmp_path / 'b'} --key KEY",
        "left out: b.nii: is no scan",
        "the default rate of 0.05 takes 19 healthy scans",
    ]


def test_merge_and_view(monkeypatch):
    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path: path)
    made = replace(DONE, failures=[FAILED], scored=[{"alert": "yes"}], archive=3)
    monkeypatch.setattr("maescan.scoring.merge.merge", lambda shards, bundle, out: made)
    done = typed("merge", "s1", "s2", "--bundle", "b", "--out", "o")
    assert done.exit_code == 3 and done.stdout.splitlines() == [
        "1 scan, 1 failed: o/scans.csv",
        "the tables hold 3 scans, with those of earlier runs",
    ]
    assert typed("merge", "s1", "s2", "--bundle", "b", "--out", "o", "--fail-on-alert").exit_code == 4
    monkeypatch.setattr("maescan.scoring.viewing.view", lambda *given: given)
    assert typed("view", "o", "a.nii", "--out", "p").stdout.strip() == str((Path("o"), "a.nii", Path("p")))
