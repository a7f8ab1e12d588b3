"""From a `Scan` to the slices that the models see: intensity, grid, and the way back for maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.config import Preset
from maescan.errors import ScanError
from maescan.method.intensity import IntensityMap, fit_intensity, intensity_statistics, outside_training
from maescan.method.order import out_of_order
from maescan.method.raw import RawPart, RawSlices
from maescan.scans import Axes, Scan, axial_view
from maescan.scans.budget import check_slices
from maescan.scans.scan import missing_slices

Array = NDArray[Any]
MIN_SIDE = 8
NAMED = 5
"""How many missing slices a note names."""
CROPPED, LOOKED_AT = 0.02, 2_000_000
"""The share of tissue outside the models' field that is no matter of its edge; how many voxels out there tell it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """images [S, h, w] float32 on the model's grid, slice 0 the most inferior; area [S]: share of the slice that is
    foreground; fit: how values were mapped, and `intensity_statistics` of the result; the rest leads back to the
    scan's grid. transposed: images are the transposes of axial slices (`grid.orientation` array). box: where the
    tissue lies in the axial view, in voxels: from, to, along slices, rows and columns. warnings: how its values are
    unlike training's; notes: what else to know of it."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]
    warnings: tuple[str, ...]
    fit: dict[str, Any]
    axes: Axes
    in_plane: tuple[int, int]
    starts: tuple[float, float]
    steps: tuple[float, float]
    transposed: bool = False
    box: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Of the slices' masks [S]: their numbers."""
        return np.arange(len(self.area), dtype=np.uint64)


def prepare(scan: Scan, preset: Preset, *, expected: Mapping[str, Sequence[float]] | None = None) -> Prepared:
    """The slices of a scan as the models see them. expected: training's range of each figure (a bundle's
    "intensity"); a scan outside it is prepared all the same, with a warning. Raises ScanError for a scan too small,
    or with nothing in it."""
    return prepare_raw(scan, preset, expected=expected)[0]


def prepare_raw(
    scan: Scan, preset: Preset, *, expected: Mapping[str, Sequence[float]] | None = None
) -> tuple[Prepared, RawSlices]:
    """`prepare`, and the slices before they are on the models' grid."""
    laid = _laid(scan, preset)
    fit, axes, starts, steps, transposed = laid.fit, laid.axes, laid.starts, laid.steps, laid.transposed
    images: NDArray[np.float32] = laid.part.extract()
    tissue = images > fit.air
    counts = np.array([np.count_nonzero(part) for part in tissue])
    missing = missing_slices(scan)
    counts[list(missing)] = 0
    area = (counts / tissue[0].size).astype(np.float32)
    found = intensity_statistics(images)
    warnings = outside_training(found, expected or {})
    box = _box(tissue.swapaxes(1, 2) if transposed else tissue, counts, starts, steps)
    facts = fit.to_dict() | found
    notes = _filled(missing) + _cropped(laid, int(counts.sum()), preset) + out_of_order(images)
    made = Prepared(images, area, warnings, facts, axes, laid.sides, starts, steps, transposed, box, notes)
    return made, RawSlices((laid.part,))


def _filled(missing: Sequence[int]) -> tuple[str, ...]:
    """A note where no image was there of some slices."""
    named = ", ".join(map(str, missing[:NAMED])) + (" ..." if len(missing) > NAMED else "")
    return (f"what is missing is not scored: slice{'s' * (len(missing) > 1)} {named}",) if missing else ()


def _cropped(laid: _Laid, pixels: int, preset: Preset) -> tuple[str, ...]:
    """A note where much of a scan's tissue, of which the models see so many pixels, lies outside their field."""
    view, fit = laid.part.voxels.swapaxes(1, 2) if laid.transposed else laid.part.voxels, laid.fit
    top, left = (max(0, math.ceil(start - 0.5)) for start in laid.starts)
    height, width = (max(0, side - 2 * cut) for side, cut in zip(laid.sides, (top, left), strict=True))
    beside = laid.sides[0] * laid.sides[1] - height * width
    if not beside:
        return ()
    some = view[:: max(1, len(view) * beside // LOOKED_AT)]
    middle = some[:, top : top + height]
    strips = some[:, :top], some[:, top + height :], middle[..., :left], middle[..., left + width :]
    lost = sum(_tissue(strip, fit) for strip in strips) * len(view) / len(some)
    share = lost / max(1.0, lost + pixels * laid.steps[0] * laid.steps[1])
    if share <= CROPPED:
        return ()
    field = f"the middle {preset.grid.field_mm:g} mm that the bundle judges"
    part = "the body part that is meant" if preset.intensity.method == "hu" else "the head"
    return (f"{share:.0%} of its tissue lies outside {field}: crop the scan around {part}, and score it again",)


def _tissue(voxels: Array, fit: IntensityMap) -> int:
    """How many voxels would be tissue on the grid."""
    values = np.clip(voxels.astype(np.float32) * fit.scale + fit.offset, fit.low, fit.high)
    return int(np.count_nonzero((values > fit.air) & (voxels != fit.background)))


def _box(
    tissue: NDArray[np.bool_], counts: NDArray[np.int64], starts: Sequence[float], steps: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """`Prepared.box` of tissue [S, h, w] on the model's grid, of which each slice has so many pixels, but for the
    outermost half per cent."""
    plane = np.zeros(tissue.shape[1:], np.int32)
    for start in range(0, len(tissue), 255):  # so many bytes fit in one, and are added many at a time
        plane += tissue[start : start + 255].view(np.uint8).sum(axis=0, dtype=np.uint8)
    ends = []
    for count in (counts, plane.sum(axis=1), plane.sum(axis=0)):
        sums = np.cumsum(count) / max(1, int(count.sum()))
        low, high = np.searchsorted(sums, [0.005, 0.995])
        ends.append((float(low), float(min(high, len(count) - 1) + 1)))
    places = zip(ends[1:], starts, steps, strict=True)
    return ends[0], *((start + low * step, start + high * step) for (low, high), start, step in places)


def upright(slices: Array, preset: Preset) -> Array:
    """Slices [..., h, w] on the model's grid as a radiologist sees them: the front on top, the patient's right on the
    left. The inverse of itself."""
    return slices.swapaxes(-1, -2) if preset.grid.orientation == "array" else slices


def raw_slices(scan: Scan, preset: Preset) -> RawSlices:
    """The slices of a scan before they are on the models' grid; `extracted`, they are `prepare`'s images. Raises as
    `prepare`."""
    return RawSlices((_laid(scan, preset).part,))


class _Laid(NamedTuple):
    """A scan's voxels with their way to the grid; the rest as in `Prepared`."""

    part: RawPart
    fit: IntensityMap
    axes: Axes
    sides: tuple[int, int]
    starts: tuple[float, float]
    steps: tuple[float, float]
    transposed: bool


def _laid(scan: Scan, preset: Preset) -> _Laid:
    view, axes = axial_view(scan)
    if min(view.shape[1:]) < MIN_SIDE:
        raise ScanError(
            f"slices of {view.shape[1]} x {view.shape[2]} voxels are too small",
            path=scan.path,
            remedy=f"at least {MIN_SIDE} x {MIN_SIDE} are needed",
        )
    check_slices(len(view), preset.model.image_size, scan.voxels.nbytes, scan.path)
    fit = fit_intensity(view, scan, preset)
    size, field_mm, sides = preset.model.image_size, preset.grid.field_mm, view.shape[1:]
    spacing = [scan.spacing[axis] for axis in axes.order[1:]]
    steps = [field_mm / s / size if field_mm else n / size for s, n in zip(spacing, sides, strict=True)]
    starts = [n / 2 - step * size / 2 for n, step in zip(sides, steps, strict=True)]
    rows, cols = (kernels.resample_taps(sides[i], size, start=starts[i], step=steps[i]) for i in range(2))
    transposed = preset.grid.orientation == "array"
    part = _part(view.transpose(0, 2, 1), cols, rows, fit) if transposed else _part(view, rows, cols, fit)
    where = (sides[0], sides[1]), (starts[0], starts[1]), (steps[0], steps[1])
    return _Laid(part, fit, axes, *where, transposed)


def _part(view: Array, rows: Any, cols: Any, fit: IntensityMap) -> RawPart:
    """The kernel's air is 0, so it works on values over `floor`."""
    values = {
        "scale": fit.scale,
        "offset": fit.offset - fit.floor,
        "background": fit.background,
        "low": fit.low - fit.floor,
        "high": fit.high - fit.floor,
        "ripple": fit.ripple,
        "floor": fit.floor,
    }
    if not fit.within_slice:
        return RawPart(view, rows, cols, values)
    ends = np.stack([view.min(axis=(1, 2)) * fit.scale, view.max(axis=(1, 2)) * fit.scale], axis=1)
    return RawPart(view, rows, cols, values, (np.sort(ends, axis=1) + fit.offset).astype(np.float32))


def to_grid(mask: Array, prepared: Prepared) -> NDArray[np.bool_]:
    """A mask [S, H, W] on the scan's axial grid -> [S, h, w] on the model's grid: the nearest voxel's value."""
    size = prepared.images.shape[1:]
    rows, cols = (
        np.floor(prepared.starts[i] + (np.arange(size[i]) + 0.5) * prepared.steps[i]).astype(int) for i in range(2)
    )
    inside = [(at >= 0) & (at < n) for at, n in zip((rows, cols), prepared.in_plane, strict=True)]
    picked = mask[:, np.clip(rows, 0, prepared.in_plane[0] - 1)][:, :, np.clip(cols, 0, prepared.in_plane[1] - 1)]
    result: NDArray[np.bool_] = picked.astype(bool) & inside[0][:, None] & inside[1]
    return result.transpose(0, 2, 1) if prepared.transposed else result


def to_source(maps: Array, prepared: Prepared) -> NDArray[np.float32]:
    """Maps [S, h, w] on the model's grid -> float32 volume [X, Y, Z] in the scan's storage order; zero where the
    models did not look. Linear interpolation."""
    maps = maps.transpose(0, 2, 1) if prepared.transposed else maps
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
