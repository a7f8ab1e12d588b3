"""`evaluate` end to end on slices made here, with an engine that needs no training."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate.baselines import trivial_scores
from maescan.evaluate.run import evaluate_slices, known_slices
from maescan.evaluate.scored import score_set
from maescan.options import EvaluateOptions

TINY = preset("tiny").replace(masks__passes=1)


def slices(patients=6, seed=0, masks=True):
    """Discs of noise, 8 slices a patient; the abnormal ones hold a bright square."""
    rng = np.random.default_rng(seed)
    n = 8 * patients
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    radius = np.sqrt(rng.uniform(0.3, 0.8, n))
    images = (rng.uniform(0.2, 0.6, (n, 64, 64)) * (x**2 + y**2 < radius[:, None, None] ** 2)).astype(np.float32)
    label = (np.arange(n) % 3 == 0).astype(np.int8)
    mask = np.zeros((n, 64, 64), bool)
    mask[label == 1, 28:38, 28:38] = True
    images[mask] += 0.5
    patient = np.repeat([f"p{i}" for i in range(patients)], 8)
    area = (images > 0).mean(axis=(1, 2))
    return SliceSet(images, patient, np.arange(n) % 8, label, area, mask if masks else None)


def judged(out, data=None, **options):
    model = {"bundle": "0" * 64, "engine": "fake"}
    options = EvaluateOptions(resamples=50, stressed=0, **options)
    return evaluate_slices(data or slices(), StubEngine(), TINY, out, model, options)


def test_twice_the_same_bytes(tmp_path):
    judged(tmp_path / "a")
    judged(tmp_path / "b", batch=5)
    names = {path.name for path in (tmp_path / "a").iterdir() if path.is_file()}
    assert names == {"metrics.json", "report.md", "slices.csv", "speed.json", "roc.png", "slices.png"}
    for name in names - {"speed.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_metrics_hold_every_baseline_and_the_report_shows_them(tmp_path):
    data = slices()
    found = judged(tmp_path, data, draw=False)
    assert found == json.loads((tmp_path / "metrics.json").read_text(), parse_float=float)
    assert found["missing"] == {
        "scan_auroc": "one class only: there are abnormal slices alone",
        "healthy_threshold": "there is no validation part, and the bundle is not calibrated",
    }
    text = (tmp_path / "report.md").read_text()
    for name in ("brain area", "slice position", "mean intensity", "bright pixels"):
        assert f"| {name} (" in text
        raw, values = roc_auc_score(data.label, trivial_scores(data)[name]), found["baselines"][name]
        assert values["auroc"] == pytest.approx(max(raw, 1 - raw))
        assert values["direction"] == ("higher" if raw >= 0.5 else "lower")
    best = max(values["auroc"] for values in found["baselines"].values())
    assert found["over_best_baseline"]["gap"] == found["slice"]["auroc"] - best


def test_a_heat_map_on_the_lesion_is_found(tmp_path):
    found = judged(tmp_path, draw=False)
    assert found["pixels"]["heat"]["auroc"] > 0.8
    assert found["pixels"]["heat_everywhere"]["auroc"] > found["pixels"]["heat"]["auroc"] - 0.05
    sizes = found["lesions"]["size"]
    assert sum(row["slices"] for row in sizes) == found["data"]["abnormal"]
    assert sum(row["slices"] for row in found["lesions"]["contrast"]) == found["data"]["abnormal"]


def test_slices_csv_is_one_row_a_slice(tmp_path):
    judged(tmp_path, draw=False)
    with open(tmp_path / "slices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48 and rows[9]["scan"] == "p1" and rows[9]["slice"] == "1" and rows[9]["label"] == "1"


def test_missing_masks_are_answered_by_name(tmp_path):
    found = judged(tmp_path, slices(masks=False))
    assert found["pixels"] is None and found["lesions"] is None
    assert found["missing"]["pixels"] == found["missing"]["lesions"] == "the data set has no lesion masks"
    assert "no lesion masks" in (tmp_path / "report.md").read_text()


def test_masks_without_a_lesion_are_answered_by_name(tmp_path):
    data = slices()
    found = judged(tmp_path, dataclasses.replace(data, mask=np.zeros_like(data.mask)), draw=False)
    assert found["missing"]["pixels"] == "there are no lesion pixels"
    assert found["missing"]["lesions"] == "no abnormal slice has a lesion in its mask"


def test_one_class_is_refused(tmp_path):
    data = slices()
    with pytest.raises(DataError, match="one class only: there are normal slices alone"):
        judged(tmp_path, data.select(data.label == 0))
    assert not tmp_path.joinpath("metrics.json").exists()


def test_nan_scores_are_refused_with_the_slice(tmp_path):
    class Broken(StubEngine):
        def classify(self, tokens, token_ids):
            return np.where(np.arange(len(tokens)) == 3, np.nan, 0.5).astype(np.float32)

    with pytest.raises(DataError, match="2 of 48 scores are NaN or infinite, the first that of slice 3 of p0"):
        score_set(slices(), Broken(), TINY)


def test_a_measure_is_no_probability(tmp_path):
    found = evaluate_slices(
        slices(),
        StubEngine(),
        TINY.replace(measure="mse"),
        tmp_path,
        {},
        EvaluateOptions(resamples=10, draw=False, stressed=0),
    )
    assert found["slice"]["calibration_error"] is None
    assert found["missing"]["calibration_error"] == "the scores are a measure, not a probability"


def test_the_test_part_is_judged_and_unknown_labels_are_counted():
    data = slices()
    part = np.where(data.patient < "p3", "train", "test")
    label = np.where(data.slice == 7, -1, data.label).astype(np.int8)
    kept, unknown = known_slices(dataclasses.replace(data, split=part, label=label), None)
    assert set(kept.patient) == {"p3", "p4", "p5"} and unknown == 3 and len(kept.label) == 21
    assert set(known_slices(dataclasses.replace(data, split=part), "train")[0].patient) == {"p0", "p1", "p2"}
    with pytest.raises(DataError, match="no part 'val'"):
        known_slices(dataclasses.replace(data, split=part), "val")
    with pytest.raises(DataError, match="no slice has a label"):
        known_slices(dataclasses.replace(data, label=np.full(48, -1)), None)


def test_importing_it_needs_neither_torch_nor_matplotlib():
    import subprocess
    import sys

    code = (
        "import sys, maescan.evaluate; sys.exit(bool({'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_table_shows_three_decimals_and_dashes():
    from maescan.evaluate.markdown import table

    assert table(("a", "b"), [[0.12345, None]]) == "| a | b |\n| --- | --- |\n| 0.123 | - |\n"


def test_a_report_with_all_that_can_be_said(tmp_path):
    """Validation part, masks, a table of the scans: through the report."""
    from maescan.evaluate.healthy import HealthyScores

    scores = score_set(slices(seed=1), StubEngine(), TINY).score
    groups = {"sex": {f"p{i}": "MF"[i % 2] for i in range(6)}}
    beside = {"healthy": HealthyScores("validation", scores), "groups": groups}
    options = EvaluateOptions(resamples=10, draw=False, stressed=0)
    found = evaluate_slices(slices(), StubEngine(), TINY, tmp_path, beside, options)
    at = found["healthy_threshold"]
    assert at["slices"] == 48 and 0.5 < at["specificity"] <= 1 and at["sensitivity"] is not None
    assert found["slice"]["within_patients"]["patients"] == 6 and found["dice"]["source"] == "the set's own"
    assert 0 < found["dice"]["dice"] <= found["pixels"]["heat"]["best_dice"]
    assert found["froc"]["lesions"] == 16 and [row["value"] for row in found["groups"]["sex"]] == ["F", "M"]
    text = (tmp_path / "report.md").read_text()
    for words in ("within patients", "48 healthy slices (validation)", "## Lesions and false alerts", "| sex |"):
        assert words in text, words
    assert "healthy" not in found["model"] and "groups" not in found["model"]
