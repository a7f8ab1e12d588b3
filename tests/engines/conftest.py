"""Engine folders and bundles for engines that run on a stand-in of a GPU."""

from __future__ import annotations

import pytest
import torch

from helpers.bundles import SMALL, a_run
from helpers.gpu_machine import CASES, Engine, thin
from maescan.engines.bundle import Bundle
from maescan.export import export
from maescan.export.onnx import OPSET, models
from maescan.export.tensorrt_rtx import share
from maescan.export.whole import whole as one_graph
from maescan.models import Classifier, Judge, MaskedAutoencoder


@pytest.fixture(scope="session")
def engine_of(tmp_path_factory):
    """The engine folder of a preset, as an export to tensorrt-rtx leaves it; presets of one network share it. whole:
    with the graph of the whole path, as such an export has it where it fits; without, the networks run one by one."""
    known = {}

    def get(name, precision="fp32", whole=False):
        preset = CASES.get(name) or thin(name)
        judged = preset.network == "judge"
        key = (preset.model, preset.masks.paste, precision, whole and preset.intensity, judged)
        if key not in known:
            known[key] = tmp_path_factory.mktemp("engines") / f"tensorrt-rtx-{precision}"
            known[key].mkdir()
            torch.manual_seed(0)
            mae = MaskedAutoencoder(preset.model).eval()
            classifier = (Judge(preset.model, preset.judge) if judged else Classifier(preset.model)).eval()
            torch.nn.init.normal_(classifier.head.weight, std=0.5)
            contents = dict(models(mae, classifier, preset, precision, narrow=True))
            if whole:
                contents["scores"] = one_graph(contents["mae"], contents["classifier"], preset, precision, OPSET)
            share(known[key], contents)
        return Engine(known[key], preset, precision)

    return get


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory):
    """A whole bundle with one tensorrt-rtx engine."""
    folder = tmp_path_factory.mktemp("place")
    return Bundle.load(export(a_run(folder, SMALL), folder / "bundle", to=("tensorrt-rtx",), precision=("fp16",)))
