"""Lungs of a CT, and the tiles that cover them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ScanError
from maescan.scans import Scan

LUNG_HU = -320.0
"""What is darker is air: between lung (about -800) and soft tissue (about 0)."""
SMALLEST_LUNG_ML = 100.0
CLOSING_MM = 8.0
"""Vessels and nodules up to this wide at a lung's wall belong to it."""
LUNG_SHARE = 0.1
"""Of a tile, at least; others are not scored."""


def lungs(view: NDArray[np.number], scan: Scan, spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Lungs of an axial view [S, H, W], spacing in mm likewise: what is below -320 HU, hangs together, does not reach
    the sides of the slices and has over 100 ml, closed over vessels. Raises ScanError where there are none."""
    from scipy import ndimage

    air = view * np.float32(scan.slope) + np.float32(scan.intercept) < LUNG_HU
    labels, _ = ndimage.label(air)
    outside = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    sizes = np.bincount(labels.ravel()) * np.prod(spacing) / 1000.0
    sizes[0] = 0
    sizes[outside] = 0
    kept: NDArray[np.bool_] = (sizes >= SMALLEST_LUNG_ML)[labels]
    if not kept.any():
        raise ScanError(
            "no lungs were found", path=scan.path, remedy="is it a CT of the chest? else use --candidates"
        )
    reach = [round(CLOSING_MM / 2 / each) for each in spacing[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (rows * spacing[1]) ** 2 + (columns * spacing[2]) ** 2 <= (CLOSING_MM / 2) ** 2
    for level in np.flatnonzero(kept.any(axis=(1, 2))):
        padded = np.pad(kept[level], [(n, n) for n in reach])
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, disc))
        kept[level] = closed[reach[0] : closed.shape[0] - reach[0], reach[1] : closed.shape[1] - reach[1]]
    return kept


def tiles(mask: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Corners [N, 3] of tiles that overlap by half, on every slice where they hold enough of the mask [S, H, W]."""
    corners = []
    for level in np.flatnonzero(mask.any(axis=(1, 2))):
        starts = [_starts(np.flatnonzero(mask[level].any(axis=1 - axis)), side) for axis in (0, 1)]
        for top in starts[0]:
            for left in starts[1]:
                window = mask[level, max(top, 0) : top + side, max(left, 0) : left + side]
                if window.sum() >= LUNG_SHARE * side * side:
                    corners.append((level, top, left))
    return np.array(corners, np.int64).reshape(-1, 3)


def _starts(covered: NDArray[np.int64], side: int) -> list[int]:
    """Starts of tiles, half a side apart, that cover a span and lie around its middle."""
    low, high = int(covered[0]), int(covered[-1]) + 1
    count = max(1, -(-(high - low - side) // (side // 2)) + 1)
    first = (low + high - (count - 1) * (side // 2) - side) // 2
    return [first + i * (side // 2) for i in range(count)]
