"""Traced modules: the reference that loads with `torch.jit.load` alone, in Python and C++; in 16 bits, with torch's
own attention, the fast engine of a GPU without TensorRT."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from maescan.engines.bundle import Bundle
from maescan.engines.torchscript import PORTS
from maescan.export.mixed import DTYPES, halved
from maescan.export.networks import networks


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.pt and classifier.pt, batch and token axes dynamic, and returns the versions. The MAE takes and
    gives 16 bits where it works in them, and a lean one is told what is hidden; the file's PORTS say so."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch announces the end of its tracer; it is what C++ programs load
        for name, module, example in networks(mae, classifier, bundle.preset, hidden=True):
            narrow = name == "mae" and precision in DTYPES
            given = {k: v.to(DTYPES[precision]) if narrow and k == "visible" else v for k, v in example.items()}
            traced = torch.jit.trace(halved(module, precision, narrow=narrow), tuple(given.values()))
            ports = json.dumps({port: str(value.dtype).removeprefix("torch.") for port, value in given.items()})
            buffer = io.BytesIO()  # torch's own writing ends the process where a disk is full
            torch.jit.save(torch.jit.freeze(traced), buffer, _extra_files={PORTS: ports})
            (folder / f"{name}.pt").write_bytes(buffer.getbuffer())
    return {"torch": torch.__version__}
