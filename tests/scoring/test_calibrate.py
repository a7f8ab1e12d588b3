from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from helpers.inputs import given
from helpers.labelled import TINY
from helpers.marks import slow
from helpers.scan_files import write_series
from helpers.scoring_stub import BUNDLE, Engine, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.engines.bundle import Bundle, update
from maescan.errors import ConfigError, DataError
from maescan.method import aggregate
from maescan.method.preprocess import prepare
from maescan.method.prints import salted, slice_prints
from maescan.results.report import REFERENCE
from maescan.scans import find_scans, read_scan
from maescan.scoring import calibrate
from maescan.scoring.ledger import rows_of
from maescan.scoring.options import CalibrateOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder


@pytest.mark.slow
def test_healthy_scans_of_the_pipeline_alert_as_often_as_promised(tmp_path):
    """100 scans to calibrate with, 100 others: one in ten may alert."""
    for index in range(200):
        write_scan(tmp_path / ("held" if index < 100 else "new") / f"scan{index}.nii.gz", index, slices=2)
    score_folder([tmp_path / "held"], BUNDLE, Engine(), tmp_path / "out")
    bundle = stub_bundle(calibration=calibrate.reference_of(rows_of(tmp_path / "out"), aggregate.DEFAULT))
    score_folder([tmp_path / "new"], bundle, Engine(), tmp_path / "new-out", ScoreOptions(alert_rate=0.1))
    found = rows(tmp_path / "new-out" / "scans.csv")
    alerts = sum(row["alert"] == "yes" for row in found)
    assert len(found) == 100 and alerts <= 10 + 3 * (100 * 0.1 * 0.9 * 2) ** 0.5
    assert all((float(row["p_value"]) <= 0.1) == (row["alert"] == "yes") for row in found)
    p = [float(row["p_value"]) for row in rows(tmp_path / "new-out" / "scores.csv")]
    assert 0.3 < np.mean(p) < 0.7


def test_an_uncalibrated_bundle_scores_and_says_so(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    summary = score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "scans.csv")
    assert (row["p_value"], row["alert"]) == ("", "") and float(row["score"]) > 0 and summary.calibration is None
    assert json.loads((tmp_path / "out" / "run.json").read_text())["calibration"] is None


def test_the_alert_rate_costs_no_new_scoring(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})
    score_folder([tmp_path / "scans"], bundle, Engine(), tmp_path / "out")
    again = score_folder([tmp_path / "scans"], bundle, Engine(), tmp_path / "out", ScoreOptions(alert_rate=0.01))
    (row,) = rows(tmp_path / "out" / "scans.csv")
    assert again.skipped == 1 and row["alert"] == "no"


def test_a_scan_that_fails_is_no_reference(tmp_path, monkeypatch):
    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path: BUNDLE)
    failed = SimpleNamespace(failures=[{"scan": "a.nii", "reason": "is truncated"}], scored=[], population=None)
    monkeypatch.setattr("maescan.scoring.run.score_paths", lambda *a, **k: failed)
    with pytest.raises(DataError, match=r"a\.nii cannot be scored: is truncated"):
        calibrate.calibrate(tmp_path, [tmp_path])


@pytest.mark.parametrize("said", ["labels.csv", "lesions/a.nii.gz", "masks/a.nii.gz"])
def test_a_folder_that_calls_scans_ill_is_no_reference(tmp_path, said):
    """Ill scans raise the score that healthy ones stay under: lesions would not alert. Nothing is scored before."""
    write_scan(tmp_path / "set" / "a.nii.gz", 0)
    (tmp_path / "set" / said).parent.mkdir(exist_ok=True)
    (tmp_path / "set" / said).write_text("scan,label\na.nii.gz,1\n")
    with pytest.raises(DataError, match=r"give (a folder of )?the healthy scans alone"):
        score_folder([tmp_path / "set"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(healthy=True))
    assert not (tmp_path / "out" / "ledger.sqlite").exists()


def test_the_reference_travels_in_the_bundle(exported_bundle, tmp_path):
    bundle = shutil.copytree(exported_bundle, tmp_path / "bundle")
    for index in range(3):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index)
    calibrate.calibrate(bundle, [tmp_path / "healthy"], how=CalibrateOptions(aggregation="max"))
    manifest = Bundle.load(bundle).manifest
    assert len(manifest["calibration"]["scans"]) == 3 and len(manifest["calibration"]["slices"]) == 18
    assert manifest["aggregation"] == {"method": "max"}
    assert manifest["calibration"]["scans"][-1] == manifest["calibration"]["slices"][-1]


def test_a_reference_has_its_day_which_the_same_scores_do_not_change(exported_bundle, tmp_path):
    bundle, today = shutil.copytree(exported_bundle, tmp_path / "bundle"), datetime.now(UTC).date().isoformat()
    assert calibrate.reference_told(bundle) == ""
    for index in range(2):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index)
    calibrate.calibrate(bundle, [tmp_path / "healthy"])
    assert calibrate.reference_told(bundle) == f"2 scans, scored on {today}"
    assert f"2 healthy scans, scored on {today}; alerts are possible" in (bundle / "README.md").read_text()
    earlier = {**Bundle.load(bundle).manifest["calibration"], "made": "2020-02-02"}
    update(bundle, calibration=earlier)
    calibrate.calibrate(bundle, [tmp_path / "healthy"])
    assert Bundle.load(bundle).manifest["calibration"] == earlier
    write_scan(tmp_path / "healthy" / "scan2.nii.gz", 2)
    calibrate.calibrate(bundle, [tmp_path / "healthy"])
    assert calibrate.reference_told(bundle) == f"3 scans, scored on {today}"


def test_columns_of_the_tables(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out")
    with open(tmp_path / "out" / "scores.csv", newline="") as stream:
        assert next(csv.reader(stream)) == ["scan", "slice", "score", "p_value", "area", "p_scan"]


@pytest.fixture
def calibrated(tmp_path, monkeypatch):
    """Calibrates a bundle without files on tmp_path/healthy; its scores times `scale`."""
    bundle, kept = stub_bundle(), {}

    class Scaled(Engine):
        scale = 1.0

        def classify(self, tokens, token_ids):
            return super().classify(tokens, token_ids) * np.float32(self.scale)

    def score_paths(paths, _, out, engine, options, listen):
        return score_folder(paths, bundle, Scaled(), out, options)

    monkeypatch.setattr("maescan.engines.bundle.Bundle.load", lambda path: bundle)
    monkeypatch.setattr("maescan.scoring.calibrate.update", lambda path, **fields: kept.update(fields))
    monkeypatch.setattr("maescan.scoring.run.score_paths", score_paths)

    def run(scale=1.0, only="", **options):
        Scaled.scale = scale
        (tmp_path / "bundle").mkdir(exist_ok=True)
        healthy = [tmp_path / "healthy" / only]
        return calibrate.calibrate(tmp_path / "bundle", healthy, how=CalibrateOptions(**options))

    run.bundle, run.kept, run.engine = bundle, kept, Scaled
    return run


def test_a_scan_that_fails_may_be_left_out(tmp_path, calibrated):
    write_scan(tmp_path / "healthy" / "a.nii.gz", 0)
    (tmp_path / "healthy" / "junk.nii.gz").write_bytes(b"no gzip")
    reference, failures = calibrated(skip_failed=True)
    assert len(reference["scans"]) == 1 and calibrated.kept["calibration"] == reference
    assert [row["scan"] for row in failures] == ["junk.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-38, *slow(1e-9, 1e30)])
def test_the_scans_of_the_calibration_alert_as_seldom_as_others_however_small_their_scores(
    tmp_path, calibrated, scale
):
    for index in range(30):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index, slices=1)
    reference, _ = calibrated(scale)
    assert len(set(reference["scans"])) > 1
    bundle = stub_bundle(calibration=json.loads(json.dumps(reference)))
    score_folder([tmp_path / "healthy"], bundle, calibrated.engine(), tmp_path / "out", ScoreOptions(pictures=0))
    assert sum(row["alert"] == "yes" for row in rows(tmp_path / "out" / "scans.csv")) <= 1


def test_copies_of_one_scan_are_no_calibration(tmp_path, calibrated):
    first = write_scan(tmp_path / "healthy" / "a.nii.gz", 0)
    nibabel.save(nibabel.load(first), tmp_path / "healthy" / "b.nii")
    with pytest.raises(DataError, match=r"b\.nii is no healthy scan to compare with: it is a copy of a\.nii\.gz"):
        calibrated()
    assert calibrated.kept == {}
    reference, left_out = calibrated(skip_failed=True)
    assert len(reference["scans"]) == 1 and [row["scan"] for row in left_out] == ["b.nii"]


def test_scans_that_trained_the_bundle_are_no_calibration(tmp_path, calibrated):
    scan = write_scan(tmp_path / "healthy" / "other-name.nii.gz", 0)
    images = prepare(read_scan(find_scans(scan)[0]), calibrated.bundle.preset).images
    prints = {"salt": "s", "scans": salted(slice_prints(images)[2:3], "s")}
    calibrated.bundle.manifest["provenance"]["prints"] = prints
    with pytest.raises(DataError, match="the bundle was trained with it"):
        calibrated()
    score_folder([scan], calibrated.bundle, calibrated.engine(), tmp_path / "out")
    assert rows(tmp_path / "out" / "scans.csv")[0]["warnings"] == "training has seen this scan"


@pytest.mark.slow
def test_scans_of_another_kind_are_no_calibration(tmp_path, calibrated):
    values = np.random.default_rng(0).integers(-1000, 300, (6, 24, 24), dtype=np.int16)
    write_series(tmp_path / "healthy" / "ct", values, Modality="CT", PixelSpacing=[10, 10])
    with pytest.raises(DataError, match="its modality is CT, the bundle judges MR"):
        calibrated()


@pytest.mark.slow
def test_what_was_scored_is_kept_when_a_scan_is_refused(tmp_path, calibrated):
    """A junk file among 24 scans costs one line."""
    for index in range(24):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index, slices=2)
    (tmp_path / "healthy" / "junk.nii.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"junk\.nii\.gz cannot be scored"):
        calibrated()
    assert calibrated.kept == {}
    reference, left_out = calibrated(skip_failed=True)
    run = json.loads((tmp_path / "bundle-calibration" / "run.json").read_text())
    assert (run["scans"]["already_done"], len(reference["scans"]), len(left_out)) == (24, 24, 1)


@pytest.mark.slow
def test_a_stopped_calibration_goes_on(tmp_path, calibrated, monkeypatch):
    for index in range(6):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index, slices=2)
    whole, _ = calibrated(out=tmp_path / "whole")

    def killed(job, source, known, row, done=[]):  # noqa: B006
        done.append(known.label)
        if len(done) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("maescan.scoring.job.Job.scored", killed)
        calibrated()
    reference, _ = calibrated()
    run = json.loads((tmp_path / "bundle-calibration" / "run.json").read_text())
    assert reference == whole and 2 <= run["scans"]["already_done"] <= 6  # those in flight may end


def test_only_the_scans_of_this_call_are_the_reference(tmp_path, calibrated):
    for index in range(4):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index)
    calibrated.bundle.manifest["calibration"] = {"scans": [0.0] * 2, "slices": [0.0]}
    calibrated()
    assert {row["p_value"] + row["alert"] for row in rows(tmp_path / "bundle-calibration" / "scans.csv")} == {""}
    assert REFERENCE in (tmp_path / "bundle-calibration" / "report.html").read_text()
    assert len(calibrated(only="scan3.nii.gz")[0]["scans"]) == 1


def test_scans_of_one_patient_are_no_more_than_one_to_compare_with(tmp_path, calibrated):
    """40 scans of 10 patients, whose own score alike: 1 of 11 healthy scans alerts, not 1 of 20."""
    for index in range(3):
        write_scan(tmp_path / "healthy" / f"sub-{index // 2}_ses-{index}_T1w.nii.gz", index)
    calibrated.bundle.manifest["intensity"] = {"mean": [9.0, 9.5]}
    assert {"patients": 2, "unlike": 3}.items() <= calibrated()[0].items()
    assert "patients" not in calibrated(only="sub-0_ses-0_T1w.nii.gz")[0]


def test_the_reference_tells_where_slices_lie_and_what_scans_are_like(tmp_path, calibrated):
    for index in range(3):
        write_scan(tmp_path / "healthy" / f"scan{index}.nii.gz", index)
    reference, _ = calibrated(aggregation="max")
    assert reference["counts"] == [6] * 3 and set(reference["positions"]) == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert reference["worst"] == reference["scans"] and len(reference["figures"]["noise"]) == 3
    assert reference["figures"]["voxel size"] == pytest.approx([500 ** (1 / 3)] * 3, abs=1e-3)


def test_a_calibration_and_an_archive_never_share_a_folder(tmp_path, calibrated):
    """Calibrating into the archive of a site's patients would take its maps and pictures away."""
    write_scan(tmp_path / "patients" / "scan.nii.gz", 0)
    write_scan(tmp_path / "healthy" / "scan.nii.gz", 1)
    score_folder([tmp_path / "patients"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(maps=True))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="holds scores that maescan wrote"):
        calibrated(out=tmp_path / "out")
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    calibrated(out=tmp_path / "calibration")
    with pytest.raises(DataError, match="holds a calibration of scores that maescan wrote"):
        score_folder([tmp_path / "patients"], BUNDLE, Engine(), tmp_path / "calibration")


def test_label_maps_alone_are_no_calibration(tmp_path, calibrated):
    labels = np.zeros((24, 24, 6), np.uint8)
    labels[4:12, 4:12] = 1
    (tmp_path / "healthy").mkdir()
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), given(tmp_path / "healthy" / "labels.nii.gz"))
    with pytest.raises(DataError, match="no scan that can be scored"):
        calibrated()


@pytest.mark.parametrize("measure", ["mse", "mae", "ssim"])
def test_a_share_of_slices_over_a_probability_takes_scores_that_are_some(tmp_path, monkeypatch, measure):
    """No other scan would ever alert."""
    bundle = SimpleNamespace(preset=TINY.replace(measure=measure), manifest={})
    monkeypatch.setattr(Bundle, "load", lambda path: bundle)
    with pytest.raises(ConfigError, match=f"this bundle scores with {measure}"):
        calibrate.calibrate(tmp_path, [tmp_path], how=CalibrateOptions(aggregation="area"))


def test_too_few_scans_to_alert_replace_enough_only_when_told(tmp_path, calibrated):
    """Four scans put in the place of forty ended all alerts without a word."""
    write_scan(tmp_path / "healthy" / "a.nii.gz", 0)
    calibrated.bundle.manifest["calibration"] = {"scans": [0.0] * 40, "slices": [0.0]}
    with pytest.raises(DataError, match=r"is calibrated with 40 scans; with these 1 no .* \(give 19 .* by --fewer\)"):
        calibrated()
    assert calibrated.kept == {}
    assert len(calibrated(fewer=True)[0]["scans"]) == 1
    calibrated.bundle.manifest["calibration"] = {"scans": [0.0] * 18, "slices": [0.0]}
    assert len(calibrated()[0]["scans"]) == 1
