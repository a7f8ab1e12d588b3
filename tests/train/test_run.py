"""The run folder: what it holds, who may go on in it, whose weights the networks start from."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from helpers.tiny_training import PRESET, TAKEN, differences, log, run, slices, weights
from maescan.errors import ConfigError, DataError
from maescan.folders import taken
from maescan.models import MaskedAutoencoder

MSE = PRESET.replace(measure="mse")


def test_the_run_folder(unbroken):
    report = json.loads((unbroken / "run.json").read_text())
    assert report["phase"] == "done" and report["epochs"] == {"mae": 2, "classifier": 2}
    assert report["slices"] == {"train": 32, "val": 8} and report["patients"]["val"] == ["p2"]
    assert report["taken"] == TAKEN
    assert [(row["phase"], row["epoch"], row["step"]) for row in log(unbroken)] == [
        ("mae", "0", "4"), ("mae", "1", "8"), ("classifier", "0", "4"), ("classifier", "1", "8"),
    ]  # fmt: skip
    aurocs = [float(row["val_auroc"]) for row in log(unbroken) if row["phase"] == "classifier"]
    assert report["best"] == {"epoch": aurocs.index(max(aurocs)), "val_auroc": pytest.approx(max(aurocs), abs=1e-4)}
    assert sorted(report["intensity"]) == ["contrast", "detail", "histogram", "mean", "noise", "share", "std"]
    golden = load_file(unbroken / "golden.safetensors")
    assert golden["images"].shape == (4, 16, 16) and golden["slice_ids"].dtype == torch.int64
    assert json.loads((unbroken / "preset.json").read_text()) == PRESET.to_dict()
    assert not (unbroken / "pairs.npy").exists() and not list(unbroken.glob(".part-*"))


def test_a_finished_run_is_left_alone_and_another_refused(unbroken):
    before = (unbroken / "mae.safetensors").stat().st_mtime_ns
    assert run(unbroken) == unbroken and (unbroken / "mae.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"another .*seed"):
        run(unbroken, seed=1)
    assert json.loads((unbroken / "run.json").read_text())["precision"] == "fp32"
    with pytest.raises(ConfigError, match=r"another precision \(fp32 -> bf16\)"):
        run(unbroken, precision="bf16")


@pytest.mark.parametrize("name", ["run.json", "preset.json", "golden.safetensors", "classifier.safetensors"])
def test_a_finished_run_that_lacks_a_file_says_how_to_get_it(unbroken, tmp_path, name):
    shutil.copytree(unbroken, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(DataError, match=rf"{name} of it is gone \(put back a copy of it, or remove checkpoint.pt"):
        run(tmp_path / "copy")


@pytest.mark.slow
def test_the_seed_decides(unbroken, tmp_path):
    assert differences(unbroken, run(tmp_path, seed=1))["mae"] > 1e-3


@pytest.mark.slow
def test_the_classifier_starts_from_the_encoder(tmp_path):
    still = PRESET.replace(classifier__base_lr=0.0, classifier__min_lr=0.0)
    trained = weights(run(tmp_path, still))
    shared = [name for name in trained["classifier"] if name in trained["mae"]]
    assert all(torch.equal(trained["mae"][name], trained["classifier"][name]) for name in shared)
    assert len(shared) == len(trained["classifier"]) - 4


@pytest.mark.slow
def test_real_lesions_judge_when_validation_patients_have_them(tmp_path):
    data = slices()
    data.label[[17, 19, 4]] = 1  # of p2, who is held back, and of p0
    folder = run(tmp_path, data=data)
    assert json.loads((folder / "run.json").read_text())["slices"] == {"train": 31, "val": 8}


def test_boxes_in_tissue_need_a_value_of_air_before_anything_is_trained(tmp_path):
    preset = PRESET.replace(intensity__method="zscore", pseudo__where="tissue")
    with pytest.raises(ConfigError, match="'zscore' intensities have no fixed value of air"):
        run(tmp_path / "run", preset)
    assert not (tmp_path / "run").exists()


def test_another_run_in_its_folder_leaves_none_of_the_first_and_says_so(tmp_path, capsys):
    folder = run(tmp_path / "run", MSE)
    (folder / "tensorboard").mkdir()
    for name in ("notes.txt", "pairs.npy", "judge.safetensors", "tensorboard/events.out.tfevents.1"):
        (folder / name).write_text("old")
    run(tmp_path / "run", MSE)
    assert "replaces" not in capsys.readouterr().err
    run(tmp_path / "run", MSE, seed=1, resume=False)
    assert f"{folder}: replaces a training run of before: preset tiny on discs\n" in capsys.readouterr().err
    left = {path.name for path in folder.rglob("*")}
    assert "notes.txt" in left and not left & {"pairs.npy", "judge.safetensors", "events.out.tfevents.1"}


def test_of_two_trainings_in_one_folder_the_second_is_refused(tmp_path):
    with taken(tmp_path, "a training run"), pytest.raises(DataError, match="another run is writing here"):
        run(tmp_path)


@pytest.mark.slow
def test_it_starts_from_public_weights_and_says_which(tmp_path, capsys):
    public = MaskedAutoencoder(PRESET.model).state_dict()
    torch.save({"model": public}, tmp_path / "vit.pth")
    still = PRESET.replace(mae__base_lr=0.0, mae__epochs=1, measure="mse")
    folder = run(tmp_path / "run", still, init=tmp_path / "vit.pth")
    trained = load_file(folder / "mae.safetensors")
    assert all(torch.equal(value, public[name]) for name, value in trained.items())
    assert f"from {tmp_path / 'vit.pth'}: encoder; decoder" in capsys.readouterr().err
    assert len(json.loads((folder / "run.json").read_text())["init"]) == 64
    with pytest.raises(ConfigError, match="another"):
        run(folder, still)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        run(tmp_path / "other", still, init=tmp_path / "nowhere.pth")


def test_weights_that_do_not_fit_leave_a_finished_run_alone(unbroken, tmp_path):
    """--no-resume empties the folder: not before what it is to start from is known to fit."""
    shutil.copytree(unbroken, tmp_path / "run")
    before = {file: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.is_file()}
    torch.save({"patch_embed.proj.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="no encoder of this preset"):
        run(tmp_path / "run", init=tmp_path / "other.pth", resume=False)
    assert {file: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.is_file()} == before
    with pytest.raises(DataError, match="no encoder of this preset"):
        run(tmp_path / "new", init=tmp_path / "other.pth")
    assert not (tmp_path / "new").exists()
