"""Traced modules: the reference that loads with `torch.jit.load` alone, in Python and C++."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from maescan.engines.bundle import Bundle
from maescan.export.networks import networks


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.pt and classifier.pt, batch and token axes dynamic, and returns the versions."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch announces the end of its tracer; it is what C++ programs load
        for name, module, example in networks(mae, classifier, bundle.preset):
            torch.jit.save(torch.jit.freeze(torch.jit.trace(module, tuple(example.values()))), folder / f"{name}.pt")
    return {"torch": torch.__version__}
