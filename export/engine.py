"""One engine of a bundle: built by its target's module, then proved on the golden slices where it can run."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

from maescan import __version__
from maescan.engines import BACKENDS, kind_of, start
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE, golden_drift, refuse
from maescan.errors import EngineError
from maescan.files import write_json
from maescan.machine import cpu_name, gpus

TARGETS = {
    "openvino": ("fp32", "bf16", "int8"),
    "torchscript": ("fp32",),
    "onnx": ("fp32", "fp16"),
    "tensorrt-rtx": ("fp16", "bf16"),
    "tensorrt": ("fp16", "bf16"),
}


def build(bundle: Bundle, folder: Path, target: str, precision: str) -> None:
    """Writes the engine and its engine.json into `folder`. Raises EngineError where it cannot be built here,
    BundleError where it drifts."""
    from maescan.engines.eager import TorchEngine

    module = importlib.import_module(f"maescan.export.{target.replace('-', '_')}")
    models, began = TorchEngine(bundle.path, bundle.preset), time.perf_counter()
    folder.mkdir(parents=True)
    try:
        versions = module.build(folder, models.mae, models.classifier, bundle, precision)
    except ImportError as error:
        raise EngineError(f"cannot build {target}: {error}", remedy=BACKENDS[target].install) from error
    values = {
        "target": target,
        "precision": precision,
        "versions": {"maescan": __version__, **versions},
        "device": None,
        "tolerance": TOLERANCE[precision],
        "drift": None,
        "seconds": round(time.perf_counter() - began, 1),
    }
    device = _device(target)
    if device is not None:
        values |= {"device": cpu_name() if kind_of(device) == "cpu" else gpus()[0]}
        values |= {"drift": _drift(bundle, folder, values, device)}
    write_json(folder / "engine.json", values)


def _device(target: str) -> str | None:
    """Where the new engine can be proved, if anywhere: the CPU if it runs there, else a GPU."""
    kinds = BACKENDS[target].kinds
    return "cpu" if "cpu" in kinds else "cuda" if gpus() else None


def _drift(bundle: Bundle, folder: Path, values: dict[str, Any], device: str) -> dict[str, float]:
    engine = start(bundle, folder, values, device)
    try:
        drift = golden_drift(bundle, engine)
    finally:
        engine.close()
    refuse(drift, values["tolerance"], folder)
    return drift
