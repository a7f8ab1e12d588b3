"""The judge's training in a run folder: folds by patient, and that a kill changes no weight."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file

from helpers.training import SMALL, slices
from maescan.config import PRESETS, Preset
from maescan.options import TrainOptions
from maescan.train import train
from maescan.train.folds import folds_of, with_steps
from maescan.train.loop import Trainer


def run(out, **options):
    return train(slices(), SMALL, out, TrainOptions(device="cpu", val_fraction=0.4, tensorboard=False, **options))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"))


def test_a_patient_lies_in_one_fold():
    patients = np.array([f"p{i % 7}" for i in range(50)])
    fold = folds_of(patients, 3, seed=0)
    assert set(fold) == {0, 1, 2}
    assert all(len(set(fold[patients == name])) == 1 for name in np.unique(patients))
    assert not folds_of(patients, 0, seed=0).any() and not folds_of(np.repeat("p", 9), 3, seed=0).any()
    assert folds_of(patients[:2], 5, seed=0).max() == 1


@pytest.mark.slow
def test_the_folder_holds_a_judge_and_says_what_it_learnt_from(unbroken):
    files = {file.name for file in unbroken.iterdir()}
    assert {"judge.safetensors", "mae.safetensors", "residuals.json", "preset.json"} <= files
    assert not any(name.startswith("fold") for name in files) and "classifier.safetensors" not in files
    found = json.loads((unbroken / "residuals.json").read_text())
    assert len(found) == 3 and all(low <= high for low, _, high in found.values())
    report = json.loads((unbroken / "run.json").read_text())
    assert report["phase"] == "done" and report["stress"]["measures"].keys() == {
        "score", "mean squared error", "mean absolute error", "SSIM"
    }  # fmt: skip
    chosen = Preset.from_dict(json.loads((unbroken / "preset.json").read_text()))
    assert chosen.measure == report["measure"]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["fold0", "fold1", "judge"])
def test_stopped_and_gone_on_gives_the_same_weights(unbroken, tmp_path, monkeypatch, phase):
    def dies(self, old=Trainer._save):
        old(self)
        if self.phase.name == phase and self.at.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_save", dies)
        run(tmp_path)
    run(tmp_path)
    for name in ("mae", "judge"):
        ours, theirs = (load_file(folder / f"{name}.safetensors") for folder in (tmp_path, unbroken))
        assert all((ours[key] == theirs[key]).all() for key in theirs)


def test_a_finished_run_keeps_its_measure(unbroken):
    before = (unbroken / "preset.json").read_bytes()
    run(unbroken)
    assert (unbroken / "preset.json").read_bytes() == before


@pytest.mark.parametrize(
    ("samples", "least", "epochs"),
    [(192, 0, 36), (192, 5000, 209), (1216, 5000, 36), (5, 100, 100), (10**6, 5000, 36)],
)
def test_of_few_scans_a_judge_has_more_epochs(samples, least, epochs):
    """It is steps that it learns by."""
    preset = PRESETS["tiny+"].replace(judge__least_steps=least)
    assert with_steps(preset, samples, 1).judge.epochs == epochs


def test_a_run_has_its_steps_and_keeps_its_preset(tmp_path):
    preset = SMALL.replace(judge__folds=0, judge__epochs=1, judge__least_steps=3, mae__epochs=1, mae__warmup_epochs=0)
    run = train(slices(), preset, tmp_path / "run", TrainOptions(seed=3, precision="fp32", tensorboard=False))
    rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    assert {row[1] for row in rows if row[0] == "judge"} == {"0", "1", "2"}
    assert json.loads((run / "run.json").read_text())["epochs"]["judge"] == 3
    assert Preset.from_dict(json.loads((run / "preset.json").read_text())).judge == preset.judge
