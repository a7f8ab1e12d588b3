"""Each alert of a folder reaches the command once: whatever is killed, scored again, calibrated or rated anew."""

from __future__ import annotations

import json

import pytest

from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.scoring.alerts import passed_on
from maescan.scoring.options import AlertOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def scans(tmp_path):
    for index in range(6):
        write_scan(tmp_path / "scans" / f"scan{index}.nii.gz", index)
    return tmp_path / "scans"


def alerting(scans, tmp_path):
    """count -> a bundle with which that many of the scans alert, and their names."""
    score_folder([scans], BUNDLE, Engine(), tmp_path / "plain", ScoreOptions())
    found = sorted(rows(tmp_path / "plain" / "scans.csv"), key=lambda row: -float(row["score"]))

    def of(count):
        limit = float(found[count]["score"]) + 1e-5
        return stub_bundle(calibration={"scans": [limit] * 30, "slices": [0.0]}), {r["scan"] for r in found[:count]}

    return of


def run(scans, bundle, out, command, **options):
    """What the command was told of scans, in one run."""
    got = out.parent / "got"
    got.unlink(missing_ok=True)
    alerts = AlertOptions(on_alert=f"cat >> {got}{command}" if command is not None else None)
    with passed_on(lambda name, facts: None, alerts) as tell:
        score_folder([scans], bundle, Engine(), out, ScoreOptions(**options), tell)
    events = [json.loads(line) for line in got.read_text().splitlines()] if got.exists() else []
    return [event for event in events if event["event"] == "scored"]


def test_what_is_scored_again_alerts_no_second_time(scans, tmp_path):
    bundle, names = alerting(scans, tmp_path)(3)
    out = tmp_path / "out"
    assert {event["scan"] for event in run(scans, bundle, out, "")} == names
    assert run(scans, bundle, out, "") == run(scans, bundle, out, "", maps=True, force=True) == []
    write_scan(scans / sorted(names)[0], 99)  # other bytes, if they alert, are another alert
    assert {event["scan"] for event in run(scans, bundle, out, "")} <= {sorted(names)[0]}


def test_what_no_command_took_is_told_by_the_next_run(scans, tmp_path):
    bundle, names = alerting(scans, tmp_path)(3)
    out = tmp_path / "out"
    assert len(run(scans, bundle, out, "; exit 1")) == 3
    again = run(scans, bundle, out, "")
    assert {event["scan"] for event in again} == names and all(event["late"] and event["score"] for event in again)
    assert run(scans, bundle, out, "") == []


def test_what_comes_to_alert_later_is_told_and_what_alerted_unheard_is_not(scans, tmp_path):
    of, out = alerting(scans, tmp_path), tmp_path / "out"
    (few, first), (more, all_) = of(2), of(4)
    assert run(scans, few, out, None) == []
    assert {event["scan"] for event in run(scans, more, out, "")} == all_ - first
    assert run(scans, few, out, "") == run(scans, more, out, "") == []
