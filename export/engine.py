"""One engine of a bundle: built by its target's module, then proved on the golden slices where it can run."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from maescan import __version__
from maescan.config import Preset
from maescan.engines import FROM_RUN, prove
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE
from maescan.engines.targets import TARGETS, place_to_prove
from maescan.errors import EngineError, lacking
from maescan.files import write_json


def build(bundle: Bundle, folder: Path, target: str, precision: str) -> None:
    """Writes the engine and its engine.json into `folder`. Raises EngineError where it cannot be built here,
    BundleError where it drifts."""
    from maescan.engines.eager import TorchEngine

    _judgeable(bundle.preset, target, precision)
    module = importlib.import_module(f"maescan.export.{target.replace('-', '_')}")
    models, began = TorchEngine(bundle.path, bundle.preset), time.perf_counter()
    folder.mkdir(parents=True)
    try:
        versions = module.build(folder, models.mae, models.classifier, bundle, precision)
    except ImportError as error:
        known = lacking(error)
        remedy = known.remedy if known else TARGETS[target].install
        raise EngineError(f"cannot build {target}: {error}", remedy=remedy) from error
    values = {
        "target": target,
        "precision": precision,
        "versions": {"maescan": __version__, **versions},
        "device": None,
        "tolerance": TOLERANCE[precision],
        "drift": None,
        "seconds": round(time.perf_counter() - began, 1),
    }
    where = place_to_prove(target, precision)
    if where is not None:
        device, name = where
        values |= {"device": name, "drift": prove(bundle, folder, values, device, trust=True)}
    write_json(folder / "engine.json", values)


def check_buildable(bundle: Bundle, target: str, precision: str) -> None:
    """Raises, before anything is built, what `build` would for a target that cannot have this bundle's networks, or
    cannot be built here, and DataError for ranges that no slices give."""
    from maescan.export import quantise, torch_tensorrt

    _judgeable(bundle.preset, target, precision)
    if target == "torch-tensorrt":
        torch_tensorrt.check_here(bundle.preset)
    if precision in FROM_RUN:
        quantise.slices_of(bundle)


def _judgeable(preset: Preset, target: str, precision: str) -> None:
    """Raises EngineError for a judge that the target could not run, which no machine without a GPU would tell, or
    that the precision is not for."""
    from maescan.export.low_precision import OPSETS
    from maescan.export.whole import fits

    if preset.network != "judge" or TARGETS[target].backend != TARGETS["tensorrt"].backend:
        return
    if target == "torch-tensorrt" or not fits(preset):
        reason = f"{target} runs a judge in one graph of the whole path alone, which it has not for '{preset.name}'"
        raise EngineError(reason, remedy="export to torchscript, or to openvino")
    if precision in OPSETS:
        reason = f"{precision} is for a classifier's linear maps, and '{preset.name}' has a judge: nothing is faster"
        raise EngineError(reason, remedy=f"export to {target} with --precision fp16")
