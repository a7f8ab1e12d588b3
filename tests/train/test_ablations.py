"""Ablations: the right presets, folds without a patient in two, MAEs shared, runs resumed, tables."""

import json

import numpy as np
import pytest

from maescan.config import ModelConfig, PseudoConfig, preset
from maescan.datasets import SliceSet
from maescan.errors import ConfigError, DataError
from maescan.train.ablations import ablate, mae_part
from maescan.train.ablations.experiments import NAMES, experiment
from maescan.train.ablations.folds import make_folds
from maescan.train.ablations.tables import text

BRATS, LUNA = preset("brats"), preset("luna16")
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


def papers(name, of=BRATS):
    return {row.name: row.paper for row in experiment(name, of).rows}


def test_the_papers_numbers():
    assert papers("table1") == {"MAE and classifier": 0.899}
    assert papers("table1", LUNA) == {"MAE and classifier": 0.634}
    assert set(papers("table2b", LUNA).values()) == {None}  # the paper has LUNA16 in table 1 alone
    assert list(papers("table2a").values()) == [0.614, 0.834, 0.877]
    assert list(papers("table2b").values()) == [0.899, 0.875, 0.821]
    assert papers("table2c") == {"(1, 10)": 0.899, "(5, 10)": 0.889, "(1, 5)": 0.901}
    assert list(papers("beta").values()) == [0.899, 0.835]
    assert list(papers("loss").values()) == [0.899, 0.864]
    assert papers("mask-ratio") == {"0 (autoencoder)": 0.735, "0.25": None, "0.5": None, "0.75": 0.899, "0.9": None}
    assert papers("epochs") == {"400": None, "800": None, "1600": 0.899, "2000": None}
    assert list(papers("no-mae").values()) == [0.899, 0.874]


def test_another_experiment_is_refused():
    with pytest.raises(ConfigError, match="unknown experiment 'table3'"):
        experiment("table3", BRATS)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_holds_the_papers_own_setting_or_needs_no_classifier(name):
    rows = experiment(name, BRATS).rows
    assert BRATS in [row.preset for row in rows] or name == "table2a"
    assert len({json.dumps(row.preset.to_dict()) for row in rows}) == len(rows)


def test_rows_that_differ_after_the_mae_share_it():
    for name in ("table1", "table2a", "table2b", "table2c", "beta"):
        assert {str(mae_part(row.preset)) for row in experiment(name, BRATS).rows} == {str(mae_part(BRATS))}
    for name in ("loss", "mask-ratio", "epochs"):
        rows = experiment(name, BRATS).rows
        assert len({str(mae_part(row.preset)) for row in rows}) == len(rows)


def test_leave_one_patient_out_tests_everyone_once():
    data = slices()
    folds = make_folds(data)
    assert sorted(str(fold.test.patient[0]) for fold in folds) == ["p0", "p1", "p2", "p3"]
    for fold in folds:
        assert not set(fold.test.patient) & set(fold.train.patient)
        assert len(fold.test.label) + len(fold.train.label) == len(data.label)


def test_many_patients_are_held_out_once_with_lesions_dealt_evenly():
    data = slices(20, 2)
    data.label[data.patient < "p15"] = 0  # lesions from p15 on, and p2 to p9
    (fold,) = make_folds(data)
    test = set(fold.test.patient)
    ill = {str(name) for name in data.patient[data.label == 1]}
    assert len(test) == 8 and abs(len(test & ill) - 0.4 * len(ill)) < 1


def test_the_sets_own_test_part_is_the_only_fold():
    data = slices()
    part = np.where(data.patient == "p2", "test", "train")
    (fold,) = make_folds(SliceSet(**{**vars(data), "split": part}), folds=3)
    assert set(fold.test.patient) == {"p2"} and set(fold.train.patient) == {"p0", "p1", "p3"}


def test_one_patient_is_refused():
    with pytest.raises(DataError, match="one patient only"):
        make_folds(slices(1))
    with pytest.raises(ConfigError, match="1 folds leave nobody"):
        make_folds(slices(), folds=1)


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


def test_a_second_time_nothing_is_trained(done, monkeypatch):
    import maescan.train

    out, result = done
    before = (out / "table2b.md").read_bytes()
    monkeypatch.setattr(maescan.train, "train", None)
    assert ablate(slices(), "table2b", SMALL, out, seeds=(0, 1), folds=2, device="cpu") == result
    assert (out / "table2b.md").read_bytes() == before == text(result).encode()


@pytest.mark.parametrize("name", ["table1", "table2a", "beta", "loss", "mask-ratio", "epochs", "no-mae"])
def test_every_kind_runs(name, tmp_path):
    result = ablate(slices(2), name, SMALL, tmp_path, folds=2, device="cpu")
    assert all(0 <= row["auroc"]["mean"] <= 1 for row in result["rows"])
    shown = (tmp_path / f"{name}.md").read_text()
    assert all(f"| {row['name']} |" in shown for row in result["rows"] + result["baselines"])


def test_the_autoencoder_is_judged_on_its_own_predictions(tmp_path):
    autoencoder = experiment("mask-ratio", SMALL).rows[0].preset
    assert autoencoder.masks.visible(16) == 16 and autoencoder.masks.pasted(16) == 0
    assert SMALL.masks.pasted(4) == 4
