"""The golden slices of a bundle against an engine: how far its answers are from the fp32 reference."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan import __version__
from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.engines.manifest import ANEW
from maescan.errors import BundleError, DataError, MaescanError
from maescan.machine import cache_folder
from maescan.method.engine import CompiledEngine, Engine
from maescan.records import read as read_values

TOLERANCE = {
    "fp32": {"score": 1e-3, "difference": 1e-3, "order": 1e-3},
    "fp16": {"score": 0.02, "difference": 0.02, "order": 0.02},
    "bf16": {"score": 0.05, "difference": 0.05, "order": 0.02},
    "int8": {"score": 0.1, "difference": 0.3, "order": 0.05},
    "fp8": {"score": 0.1, "difference": 0.02, "order": 0.05},
    "nvfp4": {"score": 0.2, "difference": 0.02, "order": 0.05},
}
"""score: the largest change of a golden slice's score (of the largest score, where it is no probability);
difference: the deviation of the difference maps, as a share of their own root mean square; order: the largest step
between the scores of two golden slices that the engine takes the other way around: all scores may move, their ranks
decide who is looked at first."""

PREPARED = 1e-3
"""How far slices made of the golden scan may be from the export's, as a share of their range."""


def check(bundle: Bundle, name: str, engine: CompiledEngine) -> dict[str, float]:
    """The drift of the engine in folder `name`, from the user's cache if these files ran on this device before.

    Raises BundleError with the numbers where it is over the tolerance.
    """
    file = cache_folder() / "golden" / f"{_key(bundle, name, engine)}.json"
    drift = _read(file)
    if drift is None:
        drift = golden_drift(bundle, engine)
        with contextlib.suppress(DataError):  # a cache that cannot be written costs time, nothing else
            _write(file, drift)
    refuse(drift, bundle.engines()[name]["precision"], bundle.engine_folder(name))
    return drift


def golden_drift(bundle: Bundle, engine: Engine) -> dict[str, float]:
    """How far the engine's answers on the golden slices are from the reference; see TOLERANCE. Raises BundleError
    where there is nothing to compare: an engine of other inputs or outputs, golden slices that are none."""
    try:
        return _drift(bundle, engine)
    except (MaescanError, MemoryError):
        raise
    except Exception as error:  # every backend has classes of its own for what does not fit its graph
        reason = f"an engine cannot answer its golden slices: {last_line(error)}"
        raise BundleError(reason, path=bundle.path, remedy=ANEW) from error


def last_line(error: BaseException) -> str:
    """Of what a library says, the line that is about the fault; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def _drift(bundle: Bundle, engine: Engine) -> dict[str, float]:
    from maescan.method.score import score_slices

    golden, preset = bundle.golden(), bundle.preset
    found = score_slices(golden["images"], golden["slice_ids"], engine, preset, maps=True)
    assert found.difference is not None
    unit = 1.0 if preset.network else float(np.abs(golden["score"]).max()) or 1.0
    return {
        "score": float(np.abs(found.score - golden["score"]).max()) / unit,
        "difference": _rms(found.difference - golden["difference"]) / (_rms(golden["difference"]) or 1.0),
        "order": _exchanged(found.score, golden["score"]) / unit,
    }


def _exchanged(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest step up from one of `wanted` [N] to another where `found` steps down; not a number where one is
    not."""
    steps, made = (values[:, None] - values[None] for values in (wanted, found))
    return float(np.where((steps > 0) & (made < 0), steps, 0 * (steps + made)).max())


def golden_scan(bundle: Bundle) -> float:
    """The largest difference between the slices that preprocessing makes of golden/scan.nii.gz here and those of the
    export, as a share of their range: the path before the engine. Raises BundleError where it is over PREPARED."""
    golden, folder = bundle.golden(), bundle.path / "golden"
    try:
        slices = prepare_golden(folder / "scan.nii.gz", bundle.preset)
        rows, expected = golden["rows"], golden["prepared"]
        if expected.shape != (*rows.shape, *slices.shape[1:]) or rows.size > len(slices):
            raise ValueError(f"{expected.shape} slices are said to be of its {slices.shape}")
        slices = slices[rows]
        gap = float(np.abs(slices - expected).max() / (np.ptp(expected) or 1.0))
    except (MaescanError, KeyError, IndexError, TypeError, ValueError) as error:
        raise BundleError(f"its golden scan cannot be prepared: {error}", path=folder, remedy=ANEW) from error
    if not gap <= PREPARED:
        reason = (
            f"preprocessing makes other slices of the golden scan: by {gap:.2g} of their range, over {PREPARED:g}"
        )
        raise BundleError(reason, path=folder, remedy="use the maescan that exported it, or export it anew")
    return gap


def prepare_golden(file: Path, preset: Preset) -> NDArray[np.float32]:
    """The slices [S, H, W] of a golden scan as the models see them; of CT that is scored by patches, those around
    places in every slice."""
    from maescan.method.patches import crop_patches
    from maescan.method.preprocess import prepare
    from maescan.scans import axial_view, find_scans, read_scan

    scan = read_scan(find_scans([file])[0])
    if preset.intensity.method != "hu" or preset.grid.field_mm is not None:
        return prepare(scan, preset).images
    view, axes = axial_view(scan)
    rows, columns = (side // 2 for side in view.shape[1:])
    centres = [(level, rows, columns + columns // 2 * (1 - 2 * (level % 2))) for level in range(len(view))]
    return crop_patches(view, axes, np.array(centres), scan, preset).images


def refuse(drift: dict[str, float], precision: str, folder: Path) -> None:
    """Raises BundleError naming the engine's folder where a drift is over the TOLERANCE of its precision, whatever
    the bundle says of it, or is not a number."""
    tolerance = TOLERANCE.get(precision, TOLERANCE["fp32"])
    over = [f"{name} by {drift.get(name, np.nan):.2g} ({allowed:g} is allowed)" for name, allowed in tolerance.items()
            if not drift.get(name, np.nan) <= allowed]  # fmt: skip
    if over:
        reason = f"drifts from the fp32 reference on the golden slices: {', '.join(over)}"
        raise BundleError(reason, path=folder, remedy="export it anew, or in a wider precision")


def _key(bundle: Bundle, name: str, engine: CompiledEngine) -> str:
    parts = (__version__, *TOLERANCE["fp32"], bundle.fingerprint(name), engine.device_name, engine.version)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read(file: Path) -> dict[str, float] | None:
    try:
        return read_values(dict[str, float], file, remedy="")
    except DataError:
        return None


def _write(file: Path, drift: dict[str, float]) -> None:
    from maescan.files import write_json

    write_json(file, drift)


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
