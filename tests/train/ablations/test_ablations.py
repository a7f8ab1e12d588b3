"""Ablations: MAEs shared, runs resumed, wrong experiments refused."""

import numpy as np
import pytest

from maescan.config import ModelConfig, PseudoConfig, preset
from maescan.datasets import SliceSet
from maescan.train.ablations import ablate
from maescan.train.ablations.tables import text

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


def test_command_line_refuses_another_experiment_before_reading(monkeypatch, capsys, tmp_path):
    from maescan import cli

    monkeypatch.setattr("sys.argv", ["maescan", "ablate", "nowhere", "--experiment", "x", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("maescan: unknown experiment 'x' (use one of table1, ")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate")
    return out, ablate(slices(), "table2b", SMALL, out, seeds=(0, 1), folds=2, device="cpu")


def test_rows_train_one_mae_a_seed_and_fold(done):
    out, _ = done
    names = [path.name for path in (out / "runs").iterdir()]
    assert sum(name.startswith("mse-") for name in names) == 4
    assert len(names) == 4 + 3 * 4
    for seed in "01":
        maes = {path.joinpath("mae.safetensors").read_bytes() for path in (out / "runs").glob(f"*-seed{seed}-1of2-*")}
        assert len(maes) == 1


def test_a_second_time_nothing_is_trained(done, monkeypatch):
    import maescan.train

    out, result = done
    before = (out / "table2b.md").read_bytes()
    monkeypatch.setattr(maescan.train, "train", None)
    assert ablate(slices(), "table2b", SMALL, out, seeds=(0, 1), folds=2, device="cpu") == result
    assert (out / "table2b.md").read_bytes() == before == text(result).encode()
