"""Files of weights as public training scripts leave them; what does not fit is named in test_checkpoint."""

from __future__ import annotations

import argparse
import os
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch

from maescan.config import ModelConfig
from maescan.errors import DataError
from maescan.models import Classifier
from maescan.models.weights import load_public, load_weights, save_weights

MODEL = ModelConfig(32, 8, 16, 1, 2, 16, 1, 2)


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    return Classifier(MODEL)


def same(one, two):
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wraps_a_model_is_no_part_of_its_names(classifier, tmp_path, prefix):
    state = {prefix + name: value for name, value in classifier.state_dict().items()}
    torch.save({"model": state}, tmp_path / "c.pth")
    assert same(load_public(tmp_path / "c.pth", Classifier(MODEL)), classifier)


def test_options_may_hold_numbers_of_numpy_and_paths(classifier, tmp_path):
    options = argparse.Namespace(
        lr=np.float64(1e-3), epoch=np.int64(3), flag=np.bool_(True), half=np.float16(2), dtype=np.dtype("int16"),
        mean=np.zeros(3), data=Path("/data"), windows=PureWindowsPath("C:/data"), device=torch.device("cpu"),
    )  # fmt: skip
    torch.save({"model": classifier.state_dict(), "args": options, "best": np.float32(0.9)}, tmp_path / "c.pth")
    assert same(load_public(tmp_path / "c.pth", Classifier(MODEL)), classifier)


def test_our_own_files_hold_every_weight_whatever_their_folder_is_called(classifier, tmp_path):
    folder = tmp_path / os.fsdecode(b"no UTF-8: \xfc")
    folder.mkdir()
    save_weights(folder / "c.safetensors", classifier)
    other = Classifier(MODEL)
    load_weights(folder / "c.safetensors", other)
    assert same(other, classifier) and same(load_public(folder / "c.safetensors", Classifier(MODEL)), classifier)


@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
def test_a_file_that_is_not_there_is_looked_for_by_its_path(classifier, tmp_path, name):
    (tmp_path / "folder.pth").mkdir()
    for file, why in ((name, "No such file or directory"), ("folder.pth", "Is a directory")):
        with pytest.raises(DataError, match=rf"{file}: cannot be read: {why} \(check the path"):
            load_public(tmp_path / file, classifier)


def test_weights_that_are_not_finite_are_named_before_anything_is_trained_on_them(classifier, tmp_path):
    """The training that began with them was called one whose rate is too high, or of extreme scans."""
    state = classifier.state_dict()
    name = next(iter(state))
    torch.save(state | {name: torch.full_like(state[name], float("nan"))}, tmp_path / "c.pth")
    with pytest.raises(DataError, match=f"weights that are not finite: {name}"):
        load_public(tmp_path / "c.pth", Classifier(MODEL))


def test_a_file_that_is_cut_off_is_called_damaged(classifier, tmp_path):
    torch.save(classifier.state_dict(), tmp_path / "c.pth")
    whole = (tmp_path / "c.pth").read_bytes()
    for kept in range(100, len(whole), len(whole) // 7):
        (tmp_path / "c.pth").write_bytes(whole[:kept])
        with pytest.raises(
            DataError, match=r"it is no file of torch.save, or damaged|PytorchStreamReader|it holds code"
        ):
            load_public(tmp_path / "c.pth", Classifier(MODEL))
