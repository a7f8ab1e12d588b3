"""Ablations: MAEs shared, runs resumed, wrong experiments refused."""

import pytest

from helpers.tiny_ablation import SMALL, half_ill
from maescan.errors import DataError
from maescan.folders import taken
from maescan.train.ablations import Design, Told, ablate
from maescan.train.ablations.tables import text

NAMES = ("table1.json", "table1.md", "beta.json", "beta.md")


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


def test_a_table_of_other_data_is_replaced_with_a_word_and_one_run_at_a_time_writes(tmp_path, monkeypatch):
    from maescan.train import ablations

    said = []
    monkeypatch.setattr(ablations.AblationRunner, "judged", lambda *_: {})
    monkeypatch.setattr(ablations, "numbers", lambda *_: {})
    monkeypatch.setattr(ablations, "text", lambda _: tables[0])
    tables, replaces = ["table"], f"{tmp_path}: replaces ablations of before: preset"
    for name in ("table1", "beta", "table1"):
        ablate(half_ill(), name, SMALL, tmp_path, Design(device="cpu"), Told(say=said.append))
    assert not said  # the same command again
    for name, table in ((SMALL.name, "of other scans"), ("mine", "of other scans"), ("mine", "of other scans")):
        tables[0] = table
        ablate(half_ill(), "table1", SMALL.replace(name=name), tmp_path, Design(device="cpu"), Told(say=said.append))
    assert said == [f"{replaces} {SMALL.name}"] * 2
    assert {path.name for path in tmp_path.glob("*.*")} == {".maescan", *NAMES}
    with taken(tmp_path, "ablations"), pytest.raises(DataError, match="another run is writing here"):
        ablate(half_ill(), "table1", SMALL, tmp_path)
