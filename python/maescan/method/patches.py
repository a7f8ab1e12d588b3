"""Patches of a CT at its own resolution (section 4.1): around places in mm, as wide as the model's image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.method.intensity import fit_intensity, intensity_statistics
from maescan.method.preprocess import upright
from maescan.scans import Axes, Scan


@dataclass(frozen=True, eq=False)
class Patches:
    """images [N, H, W] as the models see them; area [N]: share that is tissue; keys [N]: of their masks; places
    [N, 3]: of their middles, RAS+ mm; fit: `intensity_statistics` of all, and the scale
    of values."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]
    keys: NDArray[np.uint64]
    places: NDArray[np.float64]
    fit: dict[str, float]


def crop_patches(
    view: NDArray[np.number], axes: Axes, centres: NDArray[np.int64], scan: Scan, preset: Preset
) -> Patches:
    """The axial patches around voxels [N, 3] (slice, row, column) of a scan's axial view; beside it there is air.
    Training, evaluation and scoring all cut here, and all mask by the keys: the same patch has the same score."""
    fit = fit_intensity(view, scan, preset)
    raw = np.stack([_crop(view, centre, preset.model.image_size) for centre in centres])
    images = np.clip(raw * np.float32(fit.scale) + np.float32(fit.offset), fit.low, fit.high).astype(np.float32)
    images[np.isnan(raw)] = fit.floor
    area = (images > fit.air).mean(axis=(1, 2)).astype(np.float32)
    images, places = np.ascontiguousarray(upright(images, preset)), to_place(centres, scan, axes, view.shape)
    return Patches(images, area, place_keys(places), places, intensity_statistics(images) | {"scale": fit.scale})


def place_keys(places: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Keys [N] of the masks of patches at places [N, 3] in mm: these to a tenth of a mm, in 21 bits each."""
    tenths = np.rint(np.asarray(places, np.float64) * 10).astype(np.int64) + (1 << 20)
    x, y, z = (tenths & 0x1FFFFF).astype(np.uint64).T
    return np.asarray((x << np.uint64(42)) | (y << np.uint64(21)) | z, np.uint64)


def heights(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """mm above the origin [N] of patches with these keys, to a tenth."""
    return ((np.asarray(keys, np.uint64) & np.uint64(0x1FFFFF)).astype(np.float64) - (1 << 20)) / 10


def outside(centres: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of voxels [N, 3] are not in a view of that shape."""
    return np.asarray(((centres < 0) | (centres >= shape)).any(axis=1))


def to_view(place: NDArray[np.float64], scan: Scan, axes: Axes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Places [N, 3] in RAS+ mm -> nearest voxels [N, 3] of the axial view: slice, row, column."""
    inverse = np.linalg.inv(scan.affine)
    voxel = np.rint(place @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)[:, list(axes.order)]
    flip = np.array(axes.flip)
    return np.asarray(np.where(flip, np.array(shape) - 1 - voxel, voxel))


def to_place(centres: NDArray[np.int64], scan: Scan, axes: Axes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The inverse of `to_view`: where voxels [N, 3] of the axial view lie, RAS+ mm."""
    flipped = np.where(np.array(axes.flip), np.array(shape) - 1 - centres, centres)
    voxel = np.empty(flipped.shape)
    voxel[:, list(axes.order)] = flipped
    return np.asarray(voxel @ scan.affine[:3, :3].T + scan.affine[:3, 3])


def _crop(view: NDArray[np.number], centre: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """[side, side] voxels around one; nan beside the scan."""
    level, *middle = centre
    patch = np.full((side, side), np.nan, np.float32)
    spans = []
    for at, n in zip(middle, view.shape[1:], strict=True):
        start = at - side // 2
        spans.append((max(start, 0), min(start + side, n), start))
    (top, bottom, row), (left, right, column) = spans
    patch[top - row : bottom - row, left - column : right - column] = view[level, top:bottom, left:right]
    return patch
