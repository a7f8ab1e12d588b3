"""Patches of a CT at its own resolution (section 4.1): around places in mm, as wide as the model's image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.method.intensity import fit_intensity
from maescan.method.preprocess import upright
from maescan.scans import Axes, Scan


@dataclass(frozen=True, eq=False)
class Patches:
    """images [N, H, W] as the models see them; area [N]: share that is tissue."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]


def crop_patches(view: NDArray[Any], centres: NDArray[np.int64], scan: Scan, preset: Preset) -> Patches:
    """The axial patches around voxels [N, 3] (slice, row, column) of a scan's axial view; beside it there is air."""
    fit = fit_intensity(view, scan, preset)
    raw = np.stack([_crop(view, centre, preset.model.image_size) for centre in centres])
    images = np.clip(raw * np.float32(fit.scale) + np.float32(fit.offset), fit.low, fit.high).astype(np.float32)
    images[np.isnan(raw)] = fit.floor
    area = (images > fit.air).mean(axis=(1, 2)).astype(np.float32)
    return Patches(np.ascontiguousarray(upright(images, preset)), area)


def outside(centres: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of voxels [N, 3] are not in a view of that shape."""
    return np.asarray(((centres < 0) | (centres >= shape)).any(axis=1))


def to_view(place: NDArray[np.float64], scan: Scan, axes: Axes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Places [N, 3] in RAS+ mm -> nearest voxels [N, 3] of the axial view: slice, row, column."""
    inverse = np.linalg.inv(scan.affine)
    voxel = np.rint(place @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)[:, list(axes.order)]
    flip = np.array(axes.flip)
    return np.asarray(np.where(flip, np.array(shape) - 1 - voxel, voxel))


def _crop(view: NDArray[Any], centre: NDArray[np.int64], side: int) -> NDArray[np.float32]:
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
