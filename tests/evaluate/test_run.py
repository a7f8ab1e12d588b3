"""`evaluate` end to end on slices made here, with an engine that needs no training."""

import csv
import dataclasses

import numpy as np
import pytest

from helpers.labelled import TINY, evaluated, labelled_slices
from helpers.stubs import StubEngine
from maescan.errors import DataError, EngineError
from maescan.evaluate import evaluate
from maescan.evaluate.acceptance import stress
from maescan.evaluate.ranking import auroc
from maescan.evaluate.run import evaluate_slices, known_slices
from maescan.evaluate.scored import score_set
from maescan.machine import gpus
from maescan.options import EngineOptions, EvaluateOptions


@pytest.mark.slow
def test_twice_the_same_bytes(tmp_path):
    evaluated(tmp_path / "a")
    evaluated(tmp_path / "b", batch=5)
    names = {path.name for path in (tmp_path / "a").iterdir() if path.is_file()}
    assert names == {"metrics.json", "report.md", "slices.csv", "speed.json", "roc.png", "slices.png"}
    for name in names - {"speed.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_slices_csv_is_one_row_a_slice(tmp_path):
    evaluated(tmp_path, draw=False)
    with open(tmp_path / "slices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48 and rows[9]["scan"] == "p1" and rows[9]["slice"] == "1" and rows[9]["label"] == "1"


def test_figures_made_of_slices_csv_are_the_reports_own(tmp_path):
    """Scores that differ by less than a millionth are no ties there."""
    data = labelled_slices()
    near = dataclasses.replace(data, images=(0.5 + 1e-4 * data.images).astype(np.float32))
    metrics = evaluate_slices(near, StubEngine(), TINY, tmp_path, {}, EvaluateOptions(draw=False, stressed=0))
    with open(tmp_path / "slices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores = [float(row["score"]) for row in rows]
    assert len(set(scores)) > len({round(score, 6) for score in scores})
    assert auroc([int(row["label"]) for row in rows], scores) == metrics["slice"]["auroc"]


def test_metrics_and_report_hold_what_was_taken(tmp_path):
    data = dataclasses.replace(labelled_slices(), taken="6 scans: BraTS, t1")
    model = {"left_out": [{"scan": "a_1.nii", "reason": "there is nothing but air in it", "remedy": "check it"}]}
    metrics = evaluate_slices(data, StubEngine(), TINY, tmp_path, model, EvaluateOptions(draw=False, stressed=0))
    assert metrics["data"]["taken"] == data.taken and metrics["model"]["left_out"] == model["left_out"]
    text, why = (tmp_path / "report.md").read_text(), "a_1.nii: there is nothing but air in it (check it)"
    assert f"Taken: 6 scans: BraTS, t1.\n\n**1 scan cannot be used and is left out: {why}.**\n" in text


def test_the_test_part_is_judged_and_unknown_labels_are_counted():
    data = labelled_slices()
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


def test_a_report_with_all_that_can_be_said(tmp_path):
    """Validation part, masks, a table of the scans: through the report."""
    from maescan.evaluate.healthy import HealthyScores

    scores = score_set(labelled_slices(seed=1), StubEngine(), TINY).score
    groups = {"sex": {f"p{i}": "MF"[i % 2] for i in range(6)}}
    beside = {"healthy": HealthyScores("validation", scores), "groups": groups, "marked_over": 0.05}
    options = EvaluateOptions(resamples=10, draw=False, stressed=0)
    found = evaluate_slices(labelled_slices(), StubEngine(), TINY, tmp_path, beside, options)
    at = found["healthy_threshold"]
    assert at["slices"] == 48 and 0.5 < at["specificity"] <= 1 and at["sensitivity"] is not None
    assert found["slice"]["within_patients"]["patients"] == 6 and found["dice"]["source"] == "the set's own"
    assert 0 < found["dice"]["dice"] <= found["pixels"]["heat"]["best_dice"]
    assert found["dice"]["marked"]["threshold"] == 0.05 and 0 <= found["dice"]["marked"]["dice"] <= 1
    assert found["froc"]["lesions"] == 16 and [row["value"] for row in found["groups"]["sex"]] == ["F", "M"]
    text = (tmp_path / "report.md").read_text()
    for words in (
        "within patients",
        "48 healthy slices (validation)",
        "all over 0.050",
        "## Lesions and false alerts",
        "| sex |",
    ):
        assert words in text, words
    assert "healthy" not in found["model"] and not {"groups", "marked_over"} & set(found["model"])


@pytest.mark.skipif(bool(gpus()), reason="has a GPU")
@pytest.mark.parametrize("command", [evaluate, stress])
def test_a_device_is_refused_before_hours_of_reading(command, exported_bundle, tmp_path):
    with pytest.raises(EngineError, match="--device cuda: "):
        command(tmp_path / "none", exported_bundle, tmp_path / "out", EngineOptions(device="cuda"))
