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


def lungs(
    view: NDArray[np.number], scan: Scan, spacing: Sequence[float]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Lungs of an axial view [S, H, W], spacing in mm likewise: what is below -320 HU, hangs together, does not reach
    the sides of the slices and has over 100 ml, closed over vessels; and notes on what may be lung and was left out.
    Raises ScanError where there are none."""
    from scipy import ndimage

    dark = view * np.float32(scan.slope) + np.float32(scan.intercept) < LUNG_HU
    dark[dark.all(axis=(1, 2))] = False  # no patient: through a missing slice lungs would be open
    labels, _ = ndimage.label(dark)
    sizes = np.bincount(labels.ravel()) * np.prod(spacing) / 1000.0
    sizes[0] = 0
    open_ml = _open_at_a_side(labels, sizes)
    sizes[np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))] = 0
    kept: NDArray[np.bool_] = (sizes >= SMALLEST_LUNG_ML)[labels]
    cut = f"{open_ml:.0f} ml of air reach a side of the slices: lung that is cut off there is not tiled"
    if not kept.any():
        low, high = sorted(float(end) * scan.slope + scan.intercept for end in (view.min(), view.max()))
        reason = f"no lungs were found: the most air that is enclosed has {sizes.max():.0f} ml"
        remedy = "score a CT of the chest, cut off below an open mouth and nose, or use --candidates TABLE"
        if open_ml:
            reason, remedy = f"no lungs were found: {cut}", "use --candidates TABLE"
        elif low >= LUNG_HU:
            reason = f"no lungs were found: its values are {low:.0f} to {high:.0f}, and air is -1000 HU"
            remedy = "store it in Hounsfield units: its rescale slope or intercept is missing, or it is no CT"
        raise ScanError(reason, path=scan.path, remedy=remedy)
    reach = [round(CLOSING_MM / 2 / each) for each in spacing[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (rows * spacing[1]) ** 2 + (columns * spacing[2]) ** 2 <= (CLOSING_MM / 2) ** 2
    for level in np.flatnonzero(kept.any(axis=(1, 2))):
        padded = np.pad(kept[level], [(n, n) for n in reach])
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, disc))
        kept[level] = closed[reach[0] : closed.shape[0] - reach[0], reach[1] : closed.shape[1] - reach[1]]
    return kept, (cut,) if open_ml else ()


def _open_at_a_side(labels: NDArray[np.integer], sizes: NDArray[np.float64]) -> float:
    """ml of what is large enough for a lung and reaches the sides of slices, but none of their corners, as the air
    around a patient does."""
    sides, corners = (labels[:, [0, -1]], labels[:, :, [0, -1]]), labels[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    at = np.setdiff1d(np.concatenate([side.ravel() for side in sides]), corners)
    return float(sizes[at][sizes[at] >= SMALLEST_LUNG_ML].sum())


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
