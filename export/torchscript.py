"""Traced modules: the reference that loads with `torch.jit.load` alone, in Python and C++; in 16 bits, with torch's
own attention, the fast engine of a GPU without TensorRT."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from maescan.engines.bundle import Bundle
from maescan.export.mixed import halved
from maescan.export.networks import networks


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.pt and classifier.pt, batch and token axes dynamic, and returns the versions."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch announces the end of its tracer; it is what C++ programs load
        for name, module, example in networks(mae, classifier, bundle.preset):
            traced = torch.jit.trace(halved(module, precision), tuple(example.values()))
            torch.jit.save(torch.jit.freeze(traced), folder / f"{name}.pt")
    return {"torch": torch.__version__}
