"""Metrics beside the baselines, and what is missing by name."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.labelled import TINY, evaluated, labelled_slices
from helpers.stubs import StubEngine
from maescan.errors import DataError
from maescan.evaluate.baselines import trivial_scores
from maescan.evaluate.run import evaluate_slices
from maescan.evaluate.summary import NO_MASKS
from maescan.options import EvaluateOptions


def test_metrics_hold_every_baseline_and_the_report_shows_them(tmp_path):
    data = labelled_slices()
    found = evaluated(tmp_path, data, draw=False)
    assert found == json.loads((tmp_path / "metrics.json").read_text(), parse_float=float)
    assert found["missing"] == {
        "scan_auroc": "one class only: there are abnormal slices alone",
        "healthy_threshold": "no validation part has healthy slices of others, and the bundle is not calibrated by "
        "slices like these",
        "interval": "patients with slices of one class: 6; of under 10 intervals are too narrow",
    }
    text = (tmp_path / "report.md").read_text()
    for name in ("tissue area", "slice position", "mean intensity", "bright pixels"):
        assert f"| {name} (" in text
        raw, values = roc_auc_score(data.label, trivial_scores(data)[name]), found["baselines"][name]
        assert values["auroc"] == pytest.approx(max(raw, 1 - raw))
        assert values["direction"] == ("higher" if raw >= 0.5 else "lower")
    best = max(values["auroc"] for values in found["baselines"].values())
    assert found["over_best_baseline"]["gap"] == found["slice"]["auroc"] - best


def test_no_cell_of_its_table_is_a_formula(tmp_path):
    """A folder of scans may be called so."""
    data = labelled_slices()
    named = np.array([f"={name}" for name in data.patient])
    evaluated(tmp_path, dataclasses.replace(data, patient=named), draw=False)
    rows = list(csv.DictReader((tmp_path / "slices.csv").read_text().splitlines()))
    assert all(row["scan"].startswith("'=") and row["patient"].startswith("'=") for row in rows)


@pytest.mark.parametrize(("ill", "given"), [(9, False), (10, True)])
def test_intervals_take_ten_patients_of_each_class(tmp_path, ill, given):
    """Of 3 patients with lesions beside 30 without, 95 % intervals of resampling hold the true AUROC in 8 of 10."""
    data = labelled_slices(patients=20)
    label = np.where(np.isin(data.patient, np.unique(data.patient)[:ill]), data.label, 0)
    found = evaluated(tmp_path, dataclasses.replace(data, label=label, mask=None), draw=False)
    values = [found["slice"], found["over_best_baseline"], *found["baselines"].values()]
    assert [row["interval"] is not None for row in values] == [given] * len(values)
    assert ("interval" in found["missing"]) is not given


def test_sensitivity_is_told_with_the_specificity_that_its_threshold_has(tmp_path):
    found = evaluated(tmp_path, draw=False)
    rows = [line.split(",") for line in (tmp_path / "slices.csv").read_text().splitlines()[1:]]
    label, score = np.array([int(row[2]) for row in rows]), np.array([float(row[3]) for row in rows])
    for name, at in found["slice"]["at_specificity"].items():
        under = (score[label == 0] < at["threshold"]).mean() if at["threshold"] else 1.0
        assert at["specificity"] == pytest.approx(under) and at["specificity"] >= float(name[:-1]) / 100
        said = f"sensitivity at {name} specificity (of these slices {at['specificity']:.3f})"
        assert said in (tmp_path / "report.md").read_text()


def test_a_heat_map_on_the_lesion_is_found(tmp_path):
    found = evaluated(tmp_path, draw=False)
    assert found["pixels"]["heat"]["auroc"] > 0.8
    assert found["pixels"]["heat_everywhere"]["auroc"] > found["pixels"]["heat"]["auroc"] - 0.05
    sizes = found["lesions"]["size"]
    assert sum(row["slices"] for row in sizes) == found["data"]["abnormal"]
    assert sum(row["slices"] for row in found["lesions"]["contrast"]) == found["data"]["abnormal"]


@pytest.mark.slow
def test_missing_masks_are_answered_by_name(tmp_path):
    found = evaluated(tmp_path, labelled_slices(masks=False))
    assert found["pixels"] is None and found["lesions"] is None
    assert found["missing"]["pixels"] == found["missing"]["lesions"] == NO_MASKS
    assert "no lesion masks" in (tmp_path / "report.md").read_text()


def test_masks_without_a_lesion_are_answered_by_name(tmp_path):
    data = labelled_slices()
    found = evaluated(tmp_path, dataclasses.replace(data, mask=np.zeros_like(data.mask)), draw=False)
    assert found["missing"]["pixels"] == "there are no lesion pixels"
    assert found["missing"]["lesions"] == "no abnormal slice has a lesion in its mask"


def test_lesions_that_the_models_grid_lost_are_told(tmp_path):
    """A lesion of one voxel is none of the nearest of a coarser grid: figures of those left are not of all."""
    data = labelled_slices()
    assert "unmarked slices" not in evaluated(tmp_path / "all", data, draw=False)["missing"]
    mask = data.mask.copy()
    mask[np.flatnonzero(data.label == 1)[:3]] = False
    told = evaluated(tmp_path / "some", dataclasses.replace(data, mask=mask), draw=False)["missing"]
    assert told["unmarked slices"].startswith("3 of 16 abnormal slices have no lesion voxel on the model's grid")


def test_one_class_is_refused(tmp_path):
    data = labelled_slices()
    with pytest.raises(DataError, match="one class only: there are normal slices alone"):
        evaluated(tmp_path, data.select(data.label == 0))
    assert not tmp_path.joinpath("metrics.json").exists()


def test_a_measure_is_no_probability(tmp_path):
    found = evaluate_slices(
        labelled_slices(),
        StubEngine(),
        TINY.replace(measure="mse"),
        tmp_path,
        {},
        EvaluateOptions(resamples=10, draw=False, stressed=0),
    )
    assert found["slice"]["calibration_error"] is None
    assert found["missing"]["calibration_error"] == "the scores are a measure, not a probability"


def test_rows_of_the_groups_table_without_a_scan_and_no_resamples_are_told(tmp_path):
    model = {"groups": {"sex": {"nobody": "F"}}}
    options = EvaluateOptions(draw=False, stressed=0, resamples=0)
    data = labelled_slices()
    found = evaluate_slices(data, StubEngine(), TINY, tmp_path, model, options)
    assert found["missing"]["groups"] == "1 of 1 rows are of no scan that is judged: nobody"
    assert found["missing"]["interval"] == "none was asked for: --resamples 0"
    assert "of no scan that is judged: nobody" in (tmp_path / "report.md").read_text()


def test_masks_that_are_there_are_not_called_missing_where_scipy_is(tmp_path, monkeypatch):
    monkeypatch.setattr("maescan.evaluate.scored.find_spec", lambda name: None)
    found = evaluated(tmp_path, draw=False)
    assert found["froc"] is None and found["missing"]["froc"].startswith("it needs scipy: ")
