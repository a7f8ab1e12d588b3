from __future__ import annotations

import re

import numpy as np
import pytest

from helpers.scoring_stub import BUNDLE, Engine, files_of, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.results.maps import Scale, map_key
from maescan.results.paths import exceedance_path, map_path, picture_path
from maescan.scoring import calibrate
from maescan.scoring.drawing import draw_missing
from maescan.scoring.ledger import rows_of
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder


@pytest.fixture
def scans(tmp_path):
    for index in range(6):
        write_scan(tmp_path / "scans" / f"scan{index}.nii.gz", index)
    return tmp_path / "scans"


def pictures(out):
    return sorted((out / "pictures").rglob("*.png"))


def alerting(count, scores):
    """A bundle with which the `count` highest of these scan scores alert."""
    return stub_bundle(calibration={"scans": [sorted(scores)[-count - 1] + 1e-5] * 30, "slices": [0.0]})


def scores_of(out):
    return {row["scan"]: float(row["score"]) for row in rows(out / "scans.csv")}


def highest(out, count):
    found = scores_of(out)
    return sorted(picture_path(out, scan) for scan in sorted(found, key=lambda scan: -found[scan])[:count])


@pytest.mark.slow
def test_every_alert_is_drawn_and_the_number_asked_for(scans, tmp_path):
    score_folder([scans], BUNDLE, Engine(), tmp_path / "plain", ScoreOptions(pictures=2))
    assert pictures(tmp_path / "plain") == highest(tmp_path / "plain", 2)
    bundle = alerting(4, list(scores_of(tmp_path / "plain").values()))
    for count, drawn in ((2, 4), (5, 5), (0, 0)):
        out = tmp_path / f"out{count}"
        score_folder([scans], bundle, Engine(), out, ScoreOptions(pictures=count))
        assert sum(row["alert"] == "yes" for row in rows(out / "scans.csv")) == 4
        assert pictures(out) == highest(out, drawn)


@pytest.mark.slow
def test_pictures_follow_the_scores_however_scans_come(scans, tmp_path):
    out = tmp_path / "parts"
    for index in (3, 0, 5, 1, 4, 2):
        score_folder([scans / f"scan{index}.nii.gz"], BUNDLE, Engine(), out, ScoreOptions(pictures=2))
    assert pictures(out) == highest(out, 2)
    score_folder([scans], BUNDLE, Engine(), tmp_path / "whole", ScoreOptions(pictures=2))
    kept = {name: data for name, data in files_of(out).items() if name.endswith(".png")}
    assert kept == {name: data for name, data in files_of(tmp_path / "whole").items() if name.endswith(".png")}


@pytest.mark.slow
def test_alerts_of_a_later_calibration_are_drawn_without_scoring(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    score_folder([scans], BUNDLE, Engine(), out, ScoreOptions(pictures=1))
    bundle, reads = alerting(3, list(scores_of(out).values())), []
    monkeypatch.setattr("maescan.scoring.pipeline.draw_missing", lambda job: reads.append(job) or draw_missing(job))
    assert score_folder([scans], bundle, Engine(), out, ScoreOptions(pictures=1)).skipped == 6
    assert pictures(out) == highest(out, 3) and len(reads) == 1
    score_folder([scans], bundle, Engine(), tmp_path / "new", ScoreOptions(pictures=1))
    assert files_of(tmp_path / "new") == files_of(out)


def test_a_file_of_the_user_in_the_place_of_a_picture_stays(scans, tmp_path):
    out = tmp_path / "out"
    score_folder([scans / "scan0.nii.gz"], BUNDLE, Engine(), out, ScoreOptions(pictures=9))
    mine = picture_path(out, "scan1.nii.gz")
    mine.write_text("mine")
    summary = score_folder([scans], BUNDLE, Engine(), out, ScoreOptions(pictures=9))
    assert len(summary.scored) == 6 and mine.read_text() == "mine" and len(pictures(out)) == 6


def test_an_engine_that_cannot_draw_costs_the_picture_alone(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("maescan.results.pictures.draw", lambda *_: 1 / 0)
    summary = score_folder([scans], BUNDLE, Engine(), tmp_path / "out", ScoreOptions())
    assert len(summary.scored) == 6 and pictures(tmp_path / "out") == []


def calibrated(scans, folder):
    """A bundle calibrated on these scans, maps and all."""
    score_folder([scans], BUNDLE, Engine(), folder, ScoreOptions(healthy=True, pictures=0))
    assert not (folder / "maps").exists()
    kept = rows_of(folder)
    reference = calibrate.reference_of(kept, {"method": "max"}) | calibrate.healthy_maps(kept, BUNDLE.preset)
    assert len(reference["profile"]) == 3 and reference["maps"]["scans"] == 6
    return stub_bundle(calibration=reference)


@pytest.mark.slow
def test_maps_follow_a_calibration_without_scoring(scans, tmp_path):
    bundle = calibrated(scans, tmp_path / "healthy")
    out, options = tmp_path / "out", ScoreOptions(pictures=0, maps=True)
    score_folder([scans], BUNDLE, Engine(), out, options)
    name = "scan2.nii.gz"
    assert map_key(map_path(out, name)) == Scale.of(BUNDLE.preset).key and not exceedance_path(out, name).exists()
    assert score_folder([scans], bundle, Engine(), out, options).skipped == 6
    score_folder([scans], bundle, Engine(), tmp_path / "new", options)
    assert files_of(out) == files_of(tmp_path / "new") and exceedance_path(out, name).is_file()
    assert map_key(map_path(out, name)) == Scale.of(BUNDLE.preset, bundle.manifest["calibration"]).key
    assert score_folder([scans], BUNDLE, Engine(), out, options).skipped == 6  # and back
    assert not exceedance_path(out, name).exists() and map_key(map_path(out, name)) == Scale.of(BUNDLE.preset).key


@pytest.mark.slow
def test_no_report_links_to_what_is_lost_and_a_lost_or_damaged_exceedance_map_comes_back(scans, tmp_path):
    bundle = calibrated(scans, tmp_path / "healthy")
    out, options = tmp_path / "out", ScoreOptions(pictures=0, maps=True)
    score_folder([scans], bundle, Engine(), out, options)
    before = files_of(out)
    exceedance_path(out, "scan2.nii.gz").write_bytes(b"junk")
    for path in set(out.rglob("*_exceedance.nii.gz")) - {exceedance_path(out, "scan2.nii.gz")}:
        path.unlink()
    assert score_folder([scans], bundle, Engine(), out, options).skipped == 6
    assert files_of(out) == before and exceedance_path(out, "scan2.nii.gz").is_file()
    for place in (map_path, exceedance_path):
        place(out, "scan2.nii.gz").unlink()
    score_folder([scans], bundle, Engine(), out, ScoreOptions(pictures=0))
    links = re.findall(r'href="(maps/[^"]*)"', (out / "report.html").read_text())
    assert len(links) == 10 and all((out / link).is_file() for link in links)


@pytest.mark.slow
def test_a_damaged_map_is_left_and_said(scans, tmp_path):
    bundle = calibrated(scans, tmp_path / "healthy")
    out, options = tmp_path / "out", ScoreOptions(pictures=0, maps=True)
    score_folder([scans], BUNDLE, Engine(), out, options)
    damaged = map_path(out, "scan2.nii.gz")
    damaged.write_bytes(damaged.read_bytes()[:500])
    notes = score_folder([scans], bundle, Engine(), out, options).notes
    assert notes == ["maps/scan2.nii.gz_anomaly.nii.gz cannot be read: remove it, then score again with --maps"]
    assert damaged.stat().st_size == 500 and exceedance_path(out, "scan1.nii.gz").is_file()
    score_folder([scans], bundle, Engine(), out, ScoreOptions(pictures=0, maps=True, force=True))
    assert np.isfinite(Scale.of(BUNDLE.preset).top) and exceedance_path(out, "scan2.nii.gz").is_file()


def test_a_calibration_keeps_how_high_maps_are_and_scores_nothing_twice(scans, tmp_path):
    out = tmp_path / "out"
    assert score_folder([scans], BUNDLE, Engine(), out, ScoreOptions(pictures=0, healthy=True)).skipped == 0
    assert score_folder([scans], BUNDLE, Engine(), out, ScoreOptions(pictures=0, healthy=True)).skipped == 6
    assert all(row.heat for row in rows_of(out))


def test_a_scan_that_was_replaced_is_not_drawn_as_the_one_that_was_scored(scans, tmp_path, monkeypatch):
    """Neither another scan's slices, nor slices that it has no more."""
    out, real = tmp_path / "out", draw_missing

    def replace(job):
        write_scan(scans / "scan0.nii.gz", 70)
        write_scan(scans / "scan1.nii.gz", 71, slices=2)
        monkeypatch.setattr("maescan.results.pictures.key_of", lambda path: None)
        real(job)

    monkeypatch.setattr("maescan.scoring.pipeline.draw_missing", replace)
    first = score_folder([scans], BUNDLE, Engine(), out, ScoreOptions(pictures=6))
    assert len(first.scored) == 6 and len(pictures(out)) == 6
    monkeypatch.undo()
    plain = tmp_path / "plain"
    for index in (0, 1):
        write_scan(scans / f"scan{index}.nii.gz", index)
    score_folder([scans], BUNDLE, Engine(), plain, ScoreOptions(pictures=6))
    for path in pictures(out):
        assert path.read_bytes() == (plain / path.relative_to(out)).read_bytes()
