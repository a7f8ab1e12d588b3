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
    size, field_mm, sides = preset.model.image_size, preset.grid.field_mm, view.shape[1:]
    spacing = [scan.spacing[axis] for axis in axes.order[1:]]
    steps = [field_mm / s / size if field_mm else n / size for s, n in zip(spacing, sides, strict=True)]
    starts = [n / 2 - step * size / 2 for n, step in zip(sides, steps, strict=True)]
    rows, cols = (kernels.resample_taps(sides[i], size, start=starts[i], step=steps[i]) for i in range(2))
    mapping = {name: fit[name] for name in ("scale", "offset", "background", "low", "high")}
    images = kernels.extract_slices(view, rows, cols, **mapping)
    area = (images > fit["air"]).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    where = {"in_plane": (sides[0], sides[1]), "starts": (starts[0], starts[1]), "steps": (steps[0], steps[1])}
    return Prepared(images, area, (), fit, axes, **where)


def to_grid(mask: Array, prepared: Prepared) -> NDArray[np.bool_]:
    """A mask [S, H, W] on the scan's axial grid -> [S, h, w] on the model's grid: the nearest voxel's value."""
    size = prepared.images.shape[1:]
    rows, cols = (
        np.floor(prepared.starts[i] + (np.arange(size[i]) + 0.5) * prepared.steps[i]).astype(int) for i in range(2)
    )
    inside = [(at >= 0) & (at < n) for at, n in zip((rows, cols), prepared.in_plane, strict=True)]
    picked = mask[:, np.clip(rows, 0, prepared.in_plane[0] - 1)][:, :, np.clip(cols, 0, prepared.in_plane[1] - 1)]
    result: NDArray[np.bool_] = picked.astype(bool) & inside[0][:, None] & inside[1]
    return result


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
    """How a raw voxel becomes a model's value: clamp(raw * scale + offset, low, high), `background` and what lies
    beside the scan 0; values up to `air` are air. Raises ScanError where nothing but air is found."""
    config, slope, inter = preset.intensity, scan.slope, scan.inter
    if config.method == "hu":
        return _fit(slope / 100, inter / 100, None, -10.24, 30.71, air=-5.0)
    if config.method == "none":
        return _fit(slope, inter, None, -np.inf, np.inf, air=0.0)
    sample = view[:, ::2, ::2]
    background = constant_background(sample)
    inside = sample[sample != background] if background is not None else sample[sample > _otsu(sample)]
    if inside.size < 16 or inside.min() == inside.max():
        raise ScanError("there is nothing but air in it", path=scan.path, remedy="check the file")
    if config.method == "zscore":
        mean, deviation = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
        return _fit(1 / deviation, -mean / deviation, background, -5.0, 5.0, air=0.0)
    low, high = (float(v) for v in np.percentile(inside, [config.low, config.high]))
    if high <= low:
        raise ScanError("all its foreground has one value", path=scan.path, remedy="check the file")
    scale = config.top / (high - low)
    return _fit(scale, -low * scale, background, 0.0, 1.5 * config.top, air=0.02 * config.top)


def _fit(
    scale: float, offset: float, background: float | None, low: float, high: float, *, air: float
) -> dict[str, Any]:
    return {"scale": scale, "offset": offset, "background": background, "low": low, "high": high, "air": air}


def constant_background(sample: Array) -> float | None:
    """The raw value of air in [S, H, W] where it is one value, as in skull-stripped scans (0, or what z-scoring made
    of it): the commonest value at the slices' edges, if it is common. None where air is noise."""
    edges = np.concatenate(
        [sample[:, side].ravel() for side in (0, -1)] + [sample[..., side].ravel() for side in (0, -1)]
    )
    values, counts = np.unique(edges, return_counts=True)
    value = values[np.argmax(counts)]
    if counts.max() < 0.5 * edges.size or (sample == value).mean() < 0.03:
        return None
    return float(value)


def _otsu(sample: Array) -> float:
    """The threshold that parts air from tissue best (Otsu, 1979)."""
    counts, edges = np.histogram(sample, bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    weight, mean = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    share = weight / counts.sum()
    spread = np.maximum(share * (1 - share), 1e-12)
    return float(centres[np.argmax((mean[-1] * share - mean[:-1]) ** 2 / spread)])
