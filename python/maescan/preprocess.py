"""From a `Scan` to the slices that the models see: intensity, grid, and the way back for maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.config import Preset
from maescan.errors import ScanError
from maescan.scans import Axes, Scan, axial_view

Array = NDArray[Any]
MIN_SIDE = 8


@dataclass(frozen=True, eq=False)
class Prepared:
    """images [S, h, w] float32 on the model's grid, slice 0 the most inferior; area [S]: share of the slice that is
    foreground; fit: how values were mapped; the rest leads back to the scan's grid."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]
    warnings: tuple[str, ...]
    fit: dict[str, Any]
    axes: Axes
    in_plane: tuple[int, int]
    starts: tuple[float, float]
    steps: tuple[float, float]
    extra: dict[str, Any] = field(default_factory=dict)


def prepare(scan: Scan, preset: Preset) -> Prepared:
    """Raises ScanError for a scan too small, or with nothing in it."""
    view, axes = axial_view(scan)
    if min(view.shape[1:]) < MIN_SIDE:
        raise ScanError(
            f"slices of {view.shape[1]} x {view.shape[2]} voxels are too small",
            path=scan.path,
            remedy=f"at least {MIN_SIDE} x {MIN_SIDE} are needed",
        )
    fit = fit_intensity(view, scan, preset)
    size, field_mm = preset.model.image_size, preset.grid.field_mm
    spacing = [scan.spacing[axes.order[1]], scan.spacing[axes.order[2]]]
    steps = [field_mm / s / size if field_mm else n / size for s, n in zip(spacing, view.shape[1:], strict=True)]
    starts = [n / 2 - step * size / 2 for n, step in zip(view.shape[1:], steps, strict=True)]
    rows, cols = (
        kernels.resample_taps(n, size, start=start, step=step)
        for n, start, step in zip(view.shape[1:], starts, steps, strict=True)
    )
    images = kernels.extract_slices(
        view,
        rows,
        cols,
        scale=fit["scale"],
        offset=fit["offset"],
        background=fit["background"],
        low=fit["low"],
        high=fit["high"],
    )
    air = fit["air"]
    area = (images > air).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    return Prepared(
        images, area, (), fit, axes, (view.shape[1], view.shape[2]), (starts[0], starts[1]), (steps[0], steps[1])
    )


def to_source(maps: Array, prepared: Prepared) -> NDArray[np.float32]:
    """Maps [S, h, w] on the model's grid -> float32 volume [X, Y, Z] in the scan's storage order; zero where the
    models did not look. Linear interpolation."""
    rows, cols = (
        _linear(n, maps.shape[i + 1], prepared.starts[i], prepared.steps[i]) for i, n in enumerate(prepared.in_plane)
    )
    volume = np.einsum("ih,shw,jw->sij", rows, maps.astype(np.float32), cols, optimize=True)
    return np.asarray(prepared.axes.to_storage(volume), dtype=np.float32)


def _linear(n_out: int, n_in: int, start: float, step: float) -> NDArray[np.float32]:
    at = (np.arange(n_out) + 0.5 - start) / step - 0.5
    inside = (at > -0.5) & (at < n_in - 0.5)
    at = np.clip(at, 0, n_in - 1)
    low = np.minimum(np.floor(at).astype(int), n_in - 2)
    weights = np.zeros((n_out, n_in), np.float32)
    weights[np.arange(n_out), low] = 1 - (at - low)
    weights[np.arange(n_out), low + 1] += at - low
    return weights * inside[:, None]


def fit_intensity(view: Array, scan: Scan, preset: Preset) -> dict[str, Any]:
    config = preset.intensity
    slope, inter = scan.slope, scan.inter
    if config.method == "hu":
        return {
            "scale": slope / 100,
            "offset": inter / 100,
            "background": None,
            "low": -10.24,
            "high": 30.71,
            "air": -5.0,
        }
    if config.method == "none":
        return {"scale": slope, "offset": inter, "background": None, "low": -np.inf, "high": np.inf, "air": 0.0}
    sample = view[:, ::2, ::2]
    background = _constant_background(sample)
    inside = sample[sample != background] if background is not None else sample[sample > _otsu(sample)]
    if inside.size < 16:
        raise ScanError("there is nothing but air in it", path=scan.path, remedy="check the file")
    low, high = (float(v) for v in np.percentile(inside, [config.low, config.high]))
    if high <= low:
        raise ScanError("all its foreground has one value", path=scan.path, remedy="check the file")
    if config.method == "zscore":
        mean, std = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
        return {
            "scale": 1 / std,
            "offset": -mean / std,
            "background": background,
            "low": -5.0,
            "high": 5.0,
            "air": 0.0,
        }
    scale = config.top / (high - low)
    return {
        "scale": scale,
        "offset": -low * scale,
        "background": background,
        "low": 0.0,
        "high": 1.5 * config.top,
        "air": 0.02 * config.top,
    }


def _constant_background(sample: Array) -> float | None:
    border = np.concatenate(
        [sample[:, 0].ravel(), sample[:, -1].ravel(), sample[:, :, 0].ravel(), sample[:, :, -1].ravel()]
    )
    values, counts = np.unique(border, return_counts=True)
    value = values[np.argmax(counts)]
    if counts.max() < 0.5 * border.size or (sample == value).mean() < 0.03:
        return None
    return float(value)


def _otsu(sample: Array) -> float:
    counts, edges = np.histogram(sample, bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    weight = np.cumsum(counts)
    mean = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (mean[-1] * weight / weight[-1] - mean) ** 2 / (weight * (weight[-1] - weight))
    return float(centres[np.nanargmax(between[:-1])])
