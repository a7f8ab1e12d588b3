"""Ablations: MAEs shared, runs resumed, wrong experiments refused."""

import pytest

from helpers.tiny_ablation import SMALL, half_ill
from maescan.train.ablations import Design, ablate
from maescan.train.ablations.tables import text


def test_command_line_refuses_another_experiment_before_reading(monkeypatch, capsys, tmp_path):
    from maescan import cli

    monkeypatch.setattr("sys.argv", ["maescan", "ablate", "nowhere", "--experiment", "x", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("maescan: unknown experiment 'x' (use one of table1, ")


@pytest.mark.slow
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
    assert ablate(half_ill(), "table2b", SMALL, out, Design(seeds=(0, 1), folds=2, device="cpu")) == result
    assert (out / "table2b.md").read_bytes() == before == text(result).encode()
