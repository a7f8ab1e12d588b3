"""Engines: compiled models behind `reconstruct` and `classify`. Loading one runs the golden slices first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from maescan.bundle import Bundle
from maescan.errors import BundleError, EngineError

TOLERANCE = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.02, "int8": 0.1}
"""Largest change of a golden slice's score that a precision may make."""


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
    if device != "cpu":
        raise EngineError(f"no engine of {bundle.path} runs on '{device}'", remedy="use --device cpu")
    chosen = _choose(bundle, target or "openvino", precision)
    from maescan.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(chosen, threads)
    drift = golden_drift(bundle, engine)
    if not drift <= TOLERANCE[engine.precision]:
        engine.close()
        reason = f"drifts by {drift:.2g} on the golden slices; {TOLERANCE[engine.precision]:g} is allowed"
        raise BundleError(reason, path=chosen, remedy="export it anew on this machine")
    return engine


def _choose(bundle: Bundle, target: str, precision: str | None) -> Path:
    found = sorted(path.parent for path in bundle.path.glob(f"engines/{target}-*/engine.json"))
    wanted = [
        f for f in found if precision is None or json.loads((f / "engine.json").read_text())["precision"] == precision
    ]
    if not wanted:
        has = ", ".join(f.name for f in sorted(bundle.path.glob("engines/*"))) or "none"
        command = f"maescan export {bundle.path} --to {target}" + (f" --precision {precision}" if precision else "")
        raise EngineError(
            f"has no {target} engine{f' in {precision}' if precision else ''}; it has {has}",
            path=bundle.path,
            remedy=command,
        )
    return wanted[0]


def golden_drift(bundle: Bundle, engine: Any) -> float:
    """Largest difference of a golden slice's score from the fp32 reference."""
    from maescan.scoring.steps import score_slices

    golden = bundle.golden()
    scores = score_slices(golden["images"], golden["slice_ids"], engine, bundle.preset).score
    return float(np.abs(scores - golden["score"]).max())
