from __future__ import annotations

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from helpers.scan_files import write_series
from helpers.scoring_stub import Engine, rows, write_scan
from helpers.stubs import stub_bundle
from maescan.config import preset
from maescan.method.healthy import CELLS, HealthyMaps
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables
from maescan.scoring.conformal import Reference
from maescan.scoring.ledger import rows_of
from maescan.scoring.options import ReadOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.population import Population

RULE = {"method": "max"}


def population(scores, reference=tuple(np.linspace(0, 1, 99)), labels=(), patients=(), **fields):
    names, whose = labels or [f"s{i:04}" for i in range(len(scores))], patients or [""] * len(scores)
    of = [
        ScanRow(name, np.array([score], "<f4"), np.ones(1, "<f4"), order=i, print=f"{i}", patient=patient, **fields)
        for i, (name, score, patient) in enumerate(zip(names, scores, whose, strict=True))
    ]
    judge = Reference(reference, (0.0,), 0.05)
    return Population.of(Tables(sorted(of, key=lambda row: row.scores[0]), (), RULE, judge), judge)


def test_scans_like_the_reference_raise_nothing():
    found = population(np.random.default_rng(1).random(200))
    assert found.warnings() == {} and found.chance > 1e-3 and found.judged == 200


def test_far_more_alerts_than_the_rate_are_said():
    found = population([0.5, 2.0] * 15)
    assert found.alerts == 15 and found.chance < 1e-4 and "15 of 30 scans alert" in found.warnings()["unusual"]


def test_a_change_is_said_with_the_scan_that_shows_it_in_order_of_arrival():
    found = population([*np.random.default_rng(1).random(100), *np.linspace(0.9, 1.2, 60)])
    assert "changed" in found.warnings() and 100 < int(found.changed_at[1:]) < 160 and found.highest >= 100


def test_of_each_patient_the_first_scan_counts():
    """By PatientID, else by names: five alike in a row of each are no change, nor one's twelve alerts far more."""
    alike = np.repeat(np.random.default_rng(1).random(60), 5)
    patients, names = np.repeat(np.arange(60), 5), [f"sub-{i // 5}_ses-{i % 5}_T1w.nii" for i in range(300)]
    assert "changed" in population(alike).warnings()
    assert (
        population(alike, labels=names).warnings()
        == population(alike, patients=[*map(str, patients)]).warnings()
        == {}
    )
    ill = [0.5] * 21 + [2.0] * 12
    assert "unusual" in population(ill).warnings()
    found = population(ill, patients=[*map(str, range(21)), *["ill"] * 12])
    assert (found.judged, found.alerts, found.chance > 0.01) == (33, 12, True)


def test_a_patients_series_are_known_as_such_whatever_they_are_called(tmp_path):
    for number in (1, 2):
        values = np.random.default_rng(number).integers(0, 300, (6, 24, 24), dtype=np.int16)
        write_series(
            tmp_path / "in" / f"{number}", values, PatientID="7", SeriesInstanceUID=f"1.2.{number}", Modality="MR"
        )
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})
    score_folder([tmp_path / "in"], bundle, Engine(), tmp_path / "out", ScoreOptions(pictures=0))
    first, second = rows_of(tmp_path / "out")
    assert first.patient == second.patient != "" and first.label != second.label


def test_scans_of_another_kind_do_not_count():
    found = population([9.0] * 50, fit="other")
    assert (found.judged, found.alerts, found.warnings()) == (0, 0, {})


def test_uncalibrated_bundles_have_none():
    assert Population.of(Tables([], (), RULE, None), None) is None


@pytest.fixture
def mixed(tmp_path):
    """An MR scan, a CT and a label map of the same kind of file."""
    write_scan(tmp_path / "in" / "mr.nii.gz", 0)
    values = np.random.default_rng(0).integers(-1000, 300, (6, 24, 24), dtype=np.int16)
    write_series(tmp_path / "in" / "ct", values, Modality="CT", PixelSpacing=[10, 10])
    labels = np.zeros((24, 24, 6), np.uint8)
    labels[4:12, 4:12] = 1
    nibabel.Nifti1Image(labels, np.diag([10.0, 10, 5, 1])).to_filename(tmp_path / "in" / "labels.nii.gz")
    return tmp_path / "in"


BUNDLE = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0]})


def scored(mixed, out, **read):
    summary = score_folder([mixed], BUNDLE, Engine(), out, ScoreOptions(pictures=0, read=ReadOptions(**read)))
    return summary, {row["scan"]: row for row in rows(out / "scans.csv")}


@pytest.mark.slow
def test_another_kind_is_scored_and_not_judged_and_label_maps_are_passed_over(mixed, tmp_path):
    out = tmp_path / "out"
    summary, found = scored(mixed, out)
    assert set(found) == {"mr.nii.gz", "ct/3"} and summary.failures == [] and summary.passed_over == {"labels": 1}
    assert (found["mr.nii.gz"]["fit"], found["mr.nii.gz"]["alert"]) == ("ok", "yes")
    ct = found["ct/3"]
    assert (ct["fit"], ct["p_value"], ct["alert"]) == ("other", "", "") and float(ct["score"]) > 0
    assert ct["warnings"].startswith("its modality is CT")
    assert {row["p_value"] for row in rows(out / "scores.csv") if row["scan"] == "ct/3"} == {""}
    passed = rows(out / "passed_over.csv")
    assert [(row["file"], row["why"]) for row in passed] == [("labels.nii.gz", "labels")]
    run = json.loads((out / "run.json").read_text())
    assert run["scans"]["passed_over"] == 1 and run["population"]["judged"] == 1


@pytest.mark.slow
def test_what_is_accepted_is_judged_without_scoring_again(mixed, tmp_path):
    scored(mixed, tmp_path / "out")
    summary, found = scored(mixed, tmp_path / "out", accept=frozenset({"modality", "labels"}))
    assert summary.skipped == 2 and (found["ct/3"]["fit"], found["ct/3"]["alert"]) == ("other", "yes")
    came = {*found, *(row["scan"] for row in summary.failures)}  # this one has no tissue
    assert "labels.nii.gz" in came and not summary.passed_over


@pytest.mark.slow
def test_include_and_exclude_choose_by_name(mixed, tmp_path):
    def score(**options):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        score_folder([mixed], BUNDLE, Engine(), out, ScoreOptions(pictures=0, **options))
        why = [row["why"] for row in rows(out / "passed_over.csv")]
        return [row["scan"] for row in rows(out / "scans.csv")], why

    assert score(include=("*.nii.gz",), exclude=("labels*",)) == (["mr.nii.gz"], ["excluded", "excluded"])
    assert score(exclude=("ct/*",)) == (["mr.nii.gz"], ["excluded", "labels"])


@pytest.mark.slow
def test_what_is_not_judged_has_no_map_of_p_values(mixed, tmp_path):
    healthy = HealthyMaps(1.0, 0.4, np.zeros((1, *CELLS), np.uint8)).to_json()
    bundle = stub_bundle(calibration={"scans": [0.0] * 30, "slices": [0.0], "maps": healthy})
    out = tmp_path / "out"

    def written(*accept):
        read = ReadOptions(accept=frozenset(accept))
        score_folder([mixed], bundle, Engine(), out, ScoreOptions(pictures=0, maps=True, read=read))
        return sorted(path.name for path in out.rglob("*_exceedance.nii.gz"))

    assert written() == ["mr.nii.gz_exceedance.nii.gz"]
    assert written("modality") == ["3_exceedance.nii.gz", "mr.nii.gz_exceedance.nii.gz"]
    assert written() == ["mr.nii.gz_exceedance.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["mse", "ssim"])
def test_slices_that_are_missing_are_not_scored(tmp_path, measure):
    """What is filled in is no anatomy: SSIM gave it the highest score, and every table a p-value."""
    values = np.random.default_rng(0).integers(200, 900, (6, 24, 24), dtype=np.int16)
    values[:, :6] = 0
    gaps, tags = (0, 1, 3, 4, 6, 7), {"Modality": "MR", "PixelSpacing": [10, 10], "step": (0, 0, 5)}
    write_series(tmp_path / "in" / "axial", values, depths=gaps, **tags)
    across = {**tags, "step": (5, 0, 0), "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    write_series(tmp_path / "in" / "sagittal", np.repeat(values, 4, axis=0),
                 depths=[*range(12), *range(13, 25)], **across)  # fmt: skip
    chosen = preset("tiny").replace(measure=measure, tokens=replace(preset("tiny").tokens, method="all"))
    bundle = stub_bundle(chosen, calibration={"scans": [-2.0] * 30, "slices": [-2.0]})
    read = ReadOptions(accept=["missing-slices"])
    score_folder([tmp_path / "in"], bundle, Engine(), tmp_path / "out", ScoreOptions(maps=True, read=read))
    found = {row["scan"]: row for row in rows(tmp_path / "out" / "scans.csv")}
    axial, sagittal = found["axial/3"], found["sagittal/3"]
    assert axial["slices"] == "6" and "what is missing is not scored: slices 2, 5" in axial["warnings"]
    scored = [row for row in rows(tmp_path / "out" / "scores.csv") if row["scan"] == "axial/3"]
    assert [row["slice"] for row in scored] == ["0", "1", "3", "4", "6", "7"]
    assert (axial["alert"], axial["fit"]) == ("yes", "ok") and axial["highest_slice"] not in ("2", "5")
    heat = nibabel.load(next((tmp_path / "out" / "maps" / "axial").iterdir())).get_fdata()
    assert not heat[..., 2].any() and heat[..., 3].any()
    assert (sagittal["fit"], sagittal["alert"]) == ("other", "")
    assert "1 missing slice of another plane runs through all of its axial slices" in sagittal["warnings"]
