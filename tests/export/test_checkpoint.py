"""Public state dicts: they load by name, and what does not fit is named."""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file

from maescan.config import PRESETS, ModelConfig
from maescan.datasets import SliceSet
from maescan.errors import ConfigError, DataError
from maescan.export import import_checkpoint as import_bundle
from maescan.export.checkpoint import import_checkpoint
from maescan.models import Classifier, MaskedAutoencoder

PRESET = PRESETS["tiny"].replace(model=ModelConfig(32, 8, 48, 2, 4, 32, 1, 2))


@pytest.fixture
def public(tmp_path):
    """Files as public training scripts leave them: model, optimiser, options."""
    mae, classifier = MaskedAutoencoder(PRESET.model), Classifier(PRESET.model)
    for name, model in (("mae", mae), ("classifier", classifier)):
        content = {"model": model.state_dict(), "epoch": 3, "args": argparse.Namespace(lr=1e-3)}
        torch.save(content, tmp_path / f"{name}.pth")
    return tmp_path / "mae.pth", tmp_path / "classifier.pth"


def change(path, edit):
    content = torch.load(path, weights_only=False)
    edit(content["model"])
    torch.save(content, path)


def test_import_keeps_every_weight(public, tmp_path):
    run = import_checkpoint(*public, PRESET, tmp_path / "run")
    for path, name in zip(public, ("mae", "classifier"), strict=True):
        wanted = torch.load(path, weights_only=False)["model"]
        assert all(torch.equal(wanted[key], value) for key, value in load_file(run / f"{name}.safetensors").items())
    assert load_file(run / "golden.safetensors")["images"].shape == (4, 32, 32)


def test_a_bare_state_dict_loads(public, tmp_path):
    torch.save(torch.load(public[0], weights_only=False)["model"], tmp_path / "bare.pth")
    assert import_checkpoint(tmp_path / "bare.pth", None, PRESET.replace(measure="mse"), tmp_path / "run").exists()


def test_missing_and_unknown_weights_are_named(public, tmp_path):
    change(public[1], lambda state: state.update({"norm.weight": state.pop("fc_norm.weight")}))
    with pytest.raises(
        DataError, match=r"classifier.pth: missing weights: fc_norm.weight; unknown weights: norm.weight"
    ):
        import_checkpoint(*public, PRESET, tmp_path / "run")


def test_weights_of_another_shape_are_named(public, tmp_path):
    change(public[0], lambda state: state.update(pos_embed=torch.zeros(1, 5, 48)))
    with pytest.raises(DataError, match=r"mae.pth: .*pos_embed is \(1, 5, 48\), not \(1, 17, 48\)"):
        import_checkpoint(*public, PRESET, tmp_path / "run")


def test_slices_give_golden_ones_and_the_range_of_intensities(public, tmp_path):
    images = np.random.default_rng(0).random((20, 32, 32)).astype(np.float32) + 1
    patients = np.repeat(["a", "b"], 10)
    slices = SliceSet(images, patients, np.arange(20), np.zeros(20, np.int8), np.ones(20, np.float32))
    run = import_checkpoint(*public, PRESET, tmp_path / "run", slices)
    report, golden = json.loads((run / "run.json").read_text()), load_arrays(run / "golden.safetensors")
    assert report["intensity"]["mean"][0] < images.mean() < report["intensity"]["mean"][1]
    assert np.array_equal(golden["images"], images[golden["slice_ids"]]) and len(golden["images"]) == 4
    assert len(load_file(run / "quantisation.safetensors")["images"]) == 20


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_code_in_a_checkpoint_is_not_run(public, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {}, "args": Evil()}, public[0])
    with pytest.raises(
        DataError, match=r"cannot be read as a checkpoint: it holds posix\.mkdir; only tensors"
    ) as error:
        import_checkpoint(*public, PRESET, tmp_path / "run")
    assert not (tmp_path / "evil").exists() and "weights_only" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_other_files_are_refused(public, tmp_path, content):
    public[0].write_bytes(content)
    with pytest.raises(DataError, match=r"mae\.pth"):
        import_checkpoint(*public, PRESET, tmp_path / "run")


def test_a_missing_classifier_is_asked_for(public, tmp_path):
    with pytest.raises(DataError, match="--classifier"):
        import_checkpoint(public[0], None, PRESET, tmp_path / "run")


@pytest.mark.parametrize("precision", ["int8", "fp32,int8"])
def test_ranges_are_asked_for_before_anything_is_built(public, tmp_path, precision):
    with pytest.raises(ConfigError, match=r"int8 takes its ranges from slices.*give --data SCANS too"):
        import_bundle(*public, "tiny", tmp_path / "bundle", precision=tuple(precision.split(",")))
    assert not (tmp_path / "bundle").exists()


def test_unknown_targets_are_named_alone(public, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot export to foo, bar \(known are openvino"):
        import_bundle(*public, "tiny", tmp_path / "bundle", to=("onnx", "foo", "bar"))
