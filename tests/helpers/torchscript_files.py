"""Engine folders of TorchScript with small random networks."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from maescan.config import Preset
from maescan.export.mixed import halved
from maescan.export.networks import networks
from maescan.export.torchscript import build
from maescan.models import Classifier, Judge, MaskedAutoencoder

VALUES = {"target": "torchscript", "precision": "fp32", "versions": {}}


def networks_in(folder: Path, preset: Preset, precision: str, *, before: bool = False) -> Path:
    """Writes both networks into `folder`, the same for a preset. before: without PORTS, as they were once: the MAE
    takes float32 and sorts restore_ids, and answers for all tokens."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    mae, judged = MaskedAutoencoder(preset.model).eval(), preset.network == "judge"
    classifier = (Judge(preset.model, preset.judge) if judged else Classifier(preset.model)).eval()
    torch.nn.init.normal_(classifier.head.weight, std=0.5)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        if not before:
            bundle: Any = SimpleNamespace(preset=preset)
            build(folder, mae, classifier, bundle, precision)
            return folder
        for name, module, example in networks(mae, classifier, preset):
            traced = torch.jit.trace(halved(module, precision), tuple(example.values()))
            torch.jit.save(torch.jit.freeze(traced), folder / f"{name}.pt")
    return folder
