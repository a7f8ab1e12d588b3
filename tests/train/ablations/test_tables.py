"""Tables: means and deviations are of the judged folds, every row is shown."""

import itertools
import json

import numpy as np
import pytest

from helpers.tiny_ablation import SMALL, half_ill
from maescan.train.ablations import Design, ablate
from maescan.train.ablations.experiments import experiment


def test_mean_and_deviation_are_of_the_judged_folds(done):
    out, result = done
    for row, kind in zip(result["rows"], ("l1", "l2", "reconstruction"), strict=True):
        folders = [[f"{kind}-seed{seed}-{fold}of2-*/metrics.json" for fold in (1, 2)] for seed in (0, 1)]
        found = [[json.loads(next((out / "results").glob(p)).read_text()) for p in seed] for seed in folders]
        means = [np.mean([fold["slice"]["auroc"] for fold in seed]) for seed in found]
        assert row["auroc"]["mean"] == pytest.approx(np.mean(means))
        assert row["auroc"]["sd"] == pytest.approx(np.std(means, ddof=1))
    names = [row["name"] for row in result["baselines"]]
    assert names == ["tissue area", "slice position", "mean intensity", "bright pixels"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table1", "table2a", "beta", "loss", "mask-ratio", "epochs", "no-mae"])
def test_every_kind_runs(name, tmp_path):
    result = ablate(half_ill(2), name, SMALL, tmp_path, Design(folds=2, device="cpu"))
    files = [(tmp_path / "results").glob(f"*-{fold}of2-*/metrics.json") for fold in (1, 2)]
    judged = [[json.loads(file.read_text())["slice"]["auroc"] for file in found] for found in files]
    means = [np.mean(pair) for pair in itertools.product(*judged)]
    assert [row["name"] for row in result["rows"]] == [row.name for row in experiment(name, SMALL).rows]
    assert all(np.isclose(row["auroc"]["mean"], means).any() for row in result["rows"])
    shown = (tmp_path / f"{name}.md").read_text()
    assert all(f"| {row['name']} |" in shown for row in result["rows"] + result["baselines"])
