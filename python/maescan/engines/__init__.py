"""Engines: compiled models behind `reconstruct` and `classify`. Loading one runs the golden slices first."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from maescan import kernels
from maescan.config.types import Json
from maescan.engines.bundle import Bundle
from maescan.engines.golden import check, golden_drift, last_line, refuse
from maescan.engines.targets import PRECISIONS, TARGETS, best_for, kind_of, runs_on
from maescan.errors import EngineError, MaescanError, limited, typed
from maescan.machine import Gpu, found_gpus, require_gpu
from maescan.method.engine import CompiledEngine

FROM_RUN = ("int8", "fp8")
"""Precisions whose ranges are those of training slices."""

__all__ = ["device_for", "export_command", "kind_of", "load", "open_engine", "prove"]


def load(
    bundle: Bundle,
    *,
    device: str = "cpu",
    target: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    trust: bool = False,
) -> CompiledEngine:
    """The bundle's engine for `device` (see `device_for`), after its golden slices agreed with the fp32 reference.

    trust: TorchScript can run any code, and is opened only if its maker is trusted. Raises EngineError when nothing
    in the bundle runs there (never another device instead), BundleError on drift.
    """
    device = device_for(bundle, device, trust=trust)
    gpu = require_gpu(device) if kind_of(device) == "cuda" else None
    chosen = _choose(bundle, gpu, target, precision)
    engine = open_engine(bundle, bundle.engine_folder(chosen), bundle.engines()[chosen], device, threads, trust)
    try:
        check(bundle, chosen, engine)
    except BaseException:
        engine.close()
        raise
    return engine


def device_for(bundle: Bundle, device: str, *, trust: bool = False) -> str:
    """cpu, cuda or cuda:N for what was asked. auto: the first GPU that an engine of the bundle runs on with what is
    installed, else cpu; gpu: cuda; anything else is as it is asked."""
    if device != "auto":
        return "cuda" if device == "gpu" else device
    engines = [v for v in bundle.engines().values() if trust or v["target"] != "torchscript"]
    for gpu in found_gpus() if kernels.has_cuda() else ():
        for values in engines:
            if runs_on(values["target"], values["precision"], "cuda", gpu) and _installed(values["target"]):
                return f"cuda:{gpu.number}"
    return "cpu"


def open_engine(
    bundle: Bundle,
    folder: Path,
    values: Json,
    device: str,
    threads: int | None = None,
    trust: bool = False,
) -> CompiledEngine:
    """The engine of a folder and its engine.json, not checked yet. Raises EngineError where it does not load, and for
    TorchScript without `trust`."""
    if values["target"] == "torchscript" and not trust:
        remedy = "add --trust if you know who made it, or export another target"
        raise EngineError("is TorchScript, which can run any code", path=folder, remedy=remedy)
    target = TARGETS[values["target"]]
    try:
        backend = getattr(importlib.import_module(f"maescan.engines.{target.module}"), target.backend)
        engine: CompiledEngine = backend(folder, values, device=device, threads=threads, preset=bundle.preset)
        return engine
    except ImportError as error:
        raise EngineError(f"needs a package: {error}", path=folder, remedy=target.install) from error
    except MaescanError:
        raise
    except Exception as error:  # every backend has classes of its own for a file that it cannot read
        if scarce := limited(error):
            reason = f"does not load here: {scarce.reason}"
            raise EngineError(reason, path=folder, remedy=scarce.remedy) from error
        reason = f"does not load: {last_line(error)}"
        raise EngineError(reason, path=folder, remedy=export_command(bundle.path, values)) from error


def prove(bundle: Bundle, folder: Path, values: Json, device: str, *, trust: bool = False) -> dict[str, float]:
    """The drift of an engine on the golden slices. Raises BundleError where it is over its precision's tolerance."""
    engine = open_engine(bundle, folder, values, device, trust=trust)
    try:
        drift = golden_drift(bundle, engine)
    finally:
        engine.close()
    refuse(drift, values["precision"], folder)
    return drift


def export_command(path: Path, values: Json) -> str:
    """The command that makes an engine anew; ranges of 8 bits and less are those of slices that only the run has."""
    what = f"--to {values['target']} --precision {values['precision']}"
    return f"maescan export {'RUN --out ' if values['precision'] in FROM_RUN else ''}{typed(path)} {what}"


def _choose(bundle: Bundle, gpu: Gpu | None, target: str | None, precision: str | None) -> str:
    """The folder name of the engine that was asked for, or the first by TARGETS and PRECISIONS of those that run on
    the CPU (`gpu` None) or on that GPU."""
    found, kind = bundle.engines(), "cpu" if gpu is None else "cuda"
    asked = {
        name: values
        for name, values in found.items()
        if kind in getattr(TARGETS.get(values["target"]), "kinds", ())
        and target in (None, values["target"])
        and precision in (None, values["precision"])
    }
    wanted = [name for name, v in asked.items() if runs_on(v["target"], v["precision"], kind, gpu)]
    if wanted:
        return min(wanted, key=lambda name: _rank(found[name]))
    words = " ".join(part for part in (target, precision) if part)
    reason = f"has no {words + ' ' if words else ''}engine for '{kind}'; it has {', '.join(sorted(found)) or 'none'}"
    if asked and gpu is not None:
        values = next(iter(asked.values()))
        reason = TARGETS[values["target"]].lacks(gpu, values["precision"]) or reason
    here = sorted((v for v in found.values() if runs_on(v["target"], v["precision"], kind, gpu)), key=_rank)
    raise EngineError(reason, path=bundle.path, remedy=_remedy(bundle.path, gpu, (target, precision), here))


def _remedy(path: Path, gpu: Gpu | None, asked: tuple[str | None, str | None], here: list[Json]) -> str:
    """The export that makes what was asked for; where none does that would run on the CPU or on that GPU, to ask for
    one of the bundle's that run `here`, else the nearest export."""
    target, precision = _nearest(gpu, *asked)
    given = [flag for flag, name in zip(("--target", "--precision"), asked, strict=True) if name is not None]
    if not here or (asked[0] in (None, target) and asked[1] in (None, precision)):
        return export_command(path, {"target": target, "precision": precision})
    there = " or ".join(f"--target {values['target']} --precision {values['precision']}" for values in here)
    return f"leave out {' and '.join(given)}, or ask for what runs here: {there}"


def _nearest(gpu: Gpu | None, target: str | None, precision: str | None) -> tuple[str, str]:
    """The target and precision that run on the CPU or on that GPU, as near to what was asked for as there are."""
    if gpu is None:
        able = [known for known in TARGETS.values() if "cpu" in known.kinds and target in (None, known.name)]
        able = able or [TARGETS["openvino"]]
        best = next((known for known in able if precision in known.precisions), able[0])
        return best.name, precision if precision in best.precisions else best.precisions[0]
    if target not in TARGETS or TARGETS[target].lacks(gpu):
        target = best_for(gpu).name
    if precision is None or TARGETS[target].lacks(gpu, precision):
        precision = next(name for name in TARGETS[target].precisions if not TARGETS[target].lacks(gpu, name))
    return target, precision


def _rank(values: Json) -> tuple[bool, int, int]:
    """Targets whose package is installed first."""
    known = PRECISIONS.index(values["precision"]) if values["precision"] in PRECISIONS else len(PRECISIONS)
    return not _installed(values["target"]), list(TARGETS).index(values["target"]), known


def _installed(target: str) -> bool:
    return importlib.util.find_spec(TARGETS[target].package) is not None
