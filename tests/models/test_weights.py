"""Files of weights as public training scripts leave them; what does not fit is named in test_checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch

from maescan.config import ModelConfig
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


def test_our_own_files_hold_every_weight(classifier, tmp_path):
    save_weights(tmp_path / "c.safetensors", classifier)
    other = Classifier(MODEL)
    load_weights(tmp_path / "c.safetensors", other)
    assert same(other, classifier)
