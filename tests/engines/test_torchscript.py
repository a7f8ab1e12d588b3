"""TorchScript's places, tried on the CPU without a graph; tests marked needs_cuda capture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.bundles import SMALL
from helpers.gpu_machine import CASES, same, slices_of
from maescan.engines import torchscript
from maescan.engines.torchscript import GraphEngine, load_torchscript
from maescan.export.torchscript import build
from maescan.method.engine import DeviceEngine
from maescan.method.score import score_slices
from maescan.models import Classifier, MaskedAutoencoder

VALUES = {"target": "torchscript", "precision": "fp32", "versions": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("torchscript")
    build(path, MaskedAutoencoder(SMALL.model).eval(), Classifier(SMALL.model).eval(), bundle(SMALL), "fp32")
    return path


def bundle(preset):
    class OfPreset:
        def __init__(self):
            self.preset = preset

    return OfPreset()


@pytest.mark.parametrize(
    ("name", "precision"),
    [("small", "fp32"), ("small", "fp16"), ("small-fg", "bf16"), ("l2", "fp32"), ("reconstruction", "fp32"),
     ("ssim", "fp16")],
)  # fmt: skip
def test_a_place_of_torch_answers_as_the_host(folder, monkeypatch, name, precision):
    """The networks are fp32's; in 16 bits slices go up in float16, whose values these are."""
    monkeypatch.setattr(torchscript, "BATCHES", (1, 2, 4))
    monkeypatch.setattr(torchscript, "PLACES", 3)
    preset = CASES[name]
    host = load_torchscript(folder, VALUES, device="cpu", threads=1, preset=preset)
    places = GraphEngine(folder, VALUES | {"precision": precision}, device="cpu", threads=1, preset=preset)
    assert isinstance(places, DeviceEngine) and not isinstance(host, DeviceEngine)
    for count, maps in ((1, False), (9, True), (6, False)):
        images, ids = slices_of(preset, count), np.arange(count) + 3
        found = score_slices(images, ids, places, preset, maps=maps)
        wanted = score_slices(images, ids, host, preset, maps=maps)
        for field, value in vars(wanted).items():
            assert value is None or np.allclose(getattr(found, field), value, atol=1e-6), field
        assert len(places.places) <= 3
        up = {"fp32": 4}.get(precision, 2) * preset.model.image_size**2
        assert {held._up["images"][0].nbytes for held in places.places.values()} <= {up}
    assert places.places
    places.close()


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", ["small", "small-fg"])
def test_a_captured_place_answers_as_one_step_by_step(folder, monkeypatch, name):
    preset, found = CASES[name], []
    images, ids = slices_of(preset, 75), np.arange(75)
    for graphs in (True, False):
        monkeypatch.setattr("maescan.engines.place.GRAPHS", graphs)
        engine = load_torchscript(folder, VALUES, device="cuda", threads=None, preset=preset)
        found.append([score_slices(images, ids, engine, preset, maps=True) for _ in range(2)][1])
        assert {place.graph is not None for place in engine.places.values()} == {graphs}
        engine.close()
    same(*found)
