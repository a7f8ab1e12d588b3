"""Tables: means and deviations are of the judged folds, every row is shown."""

import json

import numpy as np
import pytest

from maescan.config import ModelConfig, PseudoConfig, preset
from maescan.datasets import SliceSet
from maescan.train.ablations import ablate

SMALL = preset("tiny").replace(
    model=ModelConfig(32, 8, 16, 1, 2, 16, 1, 2),
    pseudo=PseudoConfig((1, 3), (4, 12)),
    mae__epochs=2,
    mae__batch_size=16,
    mae__warmup_epochs=0,
    classifier__epochs=1,
    classifier__batch_size=16,
    classifier__warmup_epochs=0,
    masks__passes=2,
)


def slices(patients=4, each=8):
    rng = np.random.default_rng(0)
    n = patients * each
    images = rng.uniform(0.2, 1, (n, 32, 32)).astype(np.float32)
    images[:, :6] = 0
    label = (np.arange(n) % 2).astype(np.int8)
    patient = np.repeat([f"p{i}" for i in range(patients)], each)
    return SliceSet(images, patient, np.arange(n) % each, label, (images > 0).mean(axis=(1, 2)))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate")
    return out, ablate(slices(), "table2b", SMALL, out, seeds=(0, 1), folds=2, device="cpu")


def test_mean_and_deviation_are_of_the_judged_folds(done):
    out, result = done
    for row, kind in zip(result["rows"], ("l1", "l2", "reconstruction"), strict=True):
        folders = [[f"{kind}-seed{seed}-{fold}of2-*/metrics.json" for fold in (1, 2)] for seed in (0, 1)]
        found = [[json.loads(next((out / "results").glob(p)).read_text()) for p in seed] for seed in folders]
        means = [np.mean([fold["slice"]["auroc"] for fold in seed]) for seed in found]
        assert row["auroc"]["mean"] == pytest.approx(np.mean(means))
        assert row["auroc"]["sd"] == pytest.approx(np.std(means, ddof=1))
    names = [row["name"] for row in result["baselines"]]
    assert names == ["brain area", "slice position", "mean intensity", "bright pixels"]


@pytest.mark.parametrize("name", ["table1", "table2a", "beta", "loss", "mask-ratio", "epochs", "no-mae"])
def test_every_kind_runs(name, tmp_path):
    result = ablate(slices(2), name, SMALL, tmp_path, folds=2, device="cpu")
    assert all(0 <= row["auroc"]["mean"] <= 1 for row in result["rows"])
    shown = (tmp_path / f"{name}.md").read_text()
    assert all(f"| {row['name']} |" in shown for row in result["rows"] + result["baselines"])
