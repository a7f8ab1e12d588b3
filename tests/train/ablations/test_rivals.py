"""Rivals in an ablation: judged on the same slices as we are, with the same lesions put in."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.tiny_ablation import SMALL, half_ill
from maescan.config import preset
from maescan.train.ablations import Design, ablate, experiments
from maescan.train.ablations.rivals import judge_rival, size_for


class Brightest:
    """A detector that needs no training."""

    def fit(self, healthy):
        """Nothing."""

    def score(self, slices):
        """The brightest pixel."""
        return slices.max(axis=(1, 2)), slices


@pytest.fixture
def one_rival(monkeypatch):
    whole = experiments.experiment

    def few(name, preset):
        made = whole(name, preset)
        return replace(made, rows=made.rows[:2], stressed=6)

    monkeypatch.setattr("maescan.train.ablations.experiment", few)


@pytest.mark.slow
def test_rivals_stand_beside_ours_and_are_not_judged_again(tmp_path, one_rival, monkeypatch):
    result = ablate(half_ill(), "rivals", SMALL, tmp_path, Design(folds=2, device="cpu"))
    assert [row["name"] for row in result["rows"]] == ["MAE and classifier", "thresholding"]
    shown = (tmp_path / "rivals.md").read_text()
    assert "| thresholding |" in shown and "rises with a lesion" in shown
    judged = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("l1-*/metrics.json")]
    assert len(judged) == 2
    assert result["rows"][0]["auroc"]["mean"] == pytest.approx(np.mean([m["slice"]["auroc"] for m in judged]))
    for share in ("rises", "passes"):  # of the preset's own score, not of the errors beside it
        own = np.mean([metrics["stress"]["measures"]["score"]["mean"][share] for metrics in judged])
        assert result["rows"][0][share]["mean"] == pytest.approx(own)
    before = json.dumps(result)
    monkeypatch.setattr("maescan.train.ablations.fitted", None)
    assert json.dumps(ablate(half_ill(), "rivals", SMALL, tmp_path, Design(folds=2, device="cpu"))) == before


def test_a_rival_is_judged_by_its_own_scores():
    slices = half_ill()
    slices.images[slices.label == 1, 10, 10] = 1.5
    metrics = judge_rival(Brightest(), slices, SMALL, 8)
    assert metrics["slice"]["auroc"] == 1.0
    kinds = metrics["stress"]["measures"]["score"]["kinds"]
    assert kinds["brighter"]["rises"]["share"] > kinds["darker"]["rises"]["share"]
    assert np.isfinite(metrics["stress"]["measures"]["score"]["mean"]["passes"])


def test_large_slices_take_the_papers_sizes():
    small, large = size_for(preset("tiny"), 3, "cpu"), size_for(preset("brats"), 3, "cpu")
    assert small.seed == large.seed == 3
    assert small.steps < large.steps and small.width < large.width


@pytest.mark.slow
def test_a_judge_is_trained_in_an_ablation_too(tmp_path):
    judged = SMALL.replace(
        name="judged", measure="judge", judge__dim=16, judge__depth=1, judge__folds=0, judge__epochs=2,
        judge__base_lr=0.5, judge__batch_size=16, judge__warmup_epochs=0,
    )  # fmt: skip
    chosen = experiments.experiment("rivals", judged)
    assert chosen.rows[0].name == "MAE, judge"
    from maescan.train.ablations import AblationRunner
    from maescan.train.ablations.folds import make_folds

    runner = AblationRunner(tmp_path, make_folds(half_ill(), 2), Design(device="cpu", batch=8))
    metrics = runner.judged(chosen.rows[0], 0, runner.folds[0])
    (table,) = (tmp_path / "results").glob("judge-*/slices.csv")
    with table.open(newline="") as stream:
        judged = [(int(row["label"]), float(row["score"])) for row in csv.DictReader(stream)]
    assert metrics["slice"]["auroc"] == pytest.approx(roc_auc_score(*zip(*judged, strict=True)))
    assert len({score for _, score in judged}) > len(judged) / 2
    assert (next((tmp_path / "runs").glob("judge-*")) / "judge.safetensors").exists()
