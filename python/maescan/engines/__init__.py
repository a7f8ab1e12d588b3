"""Engines: compiled models behind `reconstruct` and `classify`. Loading one runs the golden slices first."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maescan.engines.bundle import Bundle
from maescan.engines.golden import check
from maescan.errors import EngineError, MaescanError

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""The closest to the reference first: the first that a bundle has is its default."""


@dataclass(frozen=True)
class Backend:
    """Where a target's class is, on which kinds of device it runs, and the extra that brings its packages."""

    module: str
    name: str
    kinds: tuple[str, ...]
    install: str


BACKENDS = {
    "openvino": Backend("openvino", "OpenVinoEngine", ("cpu",), "pip install maescan"),
    "tensorrt": Backend("tensorrt", "TensorRtEngine", ("cuda",), "pip install tensorrt cuda-bindings"),
    "tensorrt-rtx": Backend("tensorrt", "TensorRtEngine", ("cuda",), "pip install 'maescan[tensorrt]'"),
    "torchscript": Backend("torchscript", "TorchScriptEngine", ("cpu", "cuda"), "pip install 'maescan[train]'"),
    "onnx": Backend("onnx", "OnnxEngine", ("cpu",), "pip install onnxruntime"),
}
"""In the order in which they are chosen where several can run."""


def load(
    bundle: Bundle,
    *,
    device: str = "cpu",
    target: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Any:
    """The bundle's engine for `device`, after its golden slices agreed with the fp32 reference.

    Raises EngineError when nothing in the bundle runs there (never another device instead), BundleError on drift.
    """
    kind = kind_of(device)
    chosen = _choose(bundle, kind, target, precision)
    if kind == "cuda":
        from maescan.machine import need_gpu

        need_gpu(device)
    engine = start(bundle, bundle.path / "engines" / chosen, bundle.engines()[chosen], device, threads)
    try:
        check(bundle, chosen, engine)
    except BaseException:
        engine.close()
        raise
    return engine


def kind_of(device: str) -> str:
    """cpu or cuda. Raises EngineError for a device that is neither."""
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdigit())):
        raise EngineError(f"there is no device '{device}'", remedy="use cpu, cuda or cuda:N")
    return kind


def start(bundle: Bundle, folder: Path, values: dict[str, Any], device: str, threads: int | None = None) -> Any:
    """The engine of a folder and its engine.json, not checked yet. Raises EngineError where it does not load."""
    backend = BACKENDS[values["target"]]
    try:
        made = getattr(importlib.import_module(f"maescan.engines.{backend.module}"), backend.name)
        return made(folder, values, device=device, threads=threads, preset=bundle.preset)
    except ImportError as error:
        raise EngineError(f"needs a package: {error}", path=folder, remedy=backend.install) from error
    except MaescanError:
        raise
    except Exception as error:  # every backend has classes of its own for a file that it cannot read
        reason = f"does not load: {_first_line(error)}"
        raise EngineError(reason, path=folder, remedy=again(bundle.path, values)) from error


def again(path: Path, values: dict[str, Any]) -> str:
    """The command that makes an engine anew."""
    return f"maescan export {path} --to {values['target']} --precision {values['precision']}"


def _choose(bundle: Bundle, kind: str, target: str | None, precision: str | None) -> str:
    """The folder name of the engine that was asked for, or the first by BACKENDS and PRECISIONS."""
    found = bundle.engines()
    wanted = [
        name
        for name, values in found.items()
        if kind in getattr(BACKENDS.get(values["target"]), "kinds", ())
        and target in (None, values["target"])
        and precision in (None, values["precision"])
    ]
    if wanted:
        return min(wanted, key=lambda name: _rank(found[name]))
    asked = " ".join(part for part in (target, precision) if part)
    reason = f"has no {asked + ' ' if asked else ''}engine for '{kind}'; it has {', '.join(sorted(found)) or 'none'}"
    target = target or ("openvino" if kind == "cpu" else "tensorrt-rtx")
    precision = precision or ("fp32" if kind == "cpu" else "fp16")
    remedy = again(bundle.path, {"target": target, "precision": precision})
    raise EngineError(reason, path=bundle.path, remedy=remedy)


def _rank(values: dict[str, Any]) -> tuple[int, int]:
    known = PRECISIONS.index(values["precision"]) if values["precision"] in PRECISIONS else len(PRECISIONS)
    return list(BACKENDS).index(values["target"]), known


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
