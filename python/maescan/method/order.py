"""Whether the slices of a scan lie in the order of the body: tools that stack files by their names mix them up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 12
"""So few slices tell nothing."""
SIDE = 24
"""Pixels of a slice's side that tell it from others."""
SHOWN = 0.2
"""Slices with less contrast than this part of the others' are left out: they end the head."""
FAR, NEAR, PLACES = 0.8, 0.45, 3
"""Neighbours as unlike as the part FAR of what any two slices are on average, at so many places, where both have a
slice somewhere within the part NEAR: one that shows noise alone has none, as of a ball of one brightness. What they
tell of scans in order and out of it: bench/order.py."""


def out_of_order(images: NDArray[np.float32]) -> tuple[str, ...]:
    """A note where slices [S, h, w] of a scan follow each other that are as unlike as any two of it."""
    known = _shapes(images)
    if len(known) < LEAST:
        return ()
    unlike = 1 - known @ known.T
    mean = float(unlike.sum() / (unlike.size - len(known)))
    np.fill_diagonal(unlike, np.inf)
    shaped = unlike.min(axis=1) < NEAR * mean
    jumps = int(np.count_nonzero((np.diag(unlike, 1) > FAR * mean) & shaped[1:] & shaped[:-1]))
    if jumps < PLACES or mean < 1e-6:
        return ()
    return (
        f"at {jumps} places neighbouring slices differ as any two of it do: they may be out of order, look at it",
    )


def _shapes(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some rows of slices, made small, [N, K] of mean 0 and length 1; without slices that show little."""
    count, height, width = images.shape
    tall, wide = max(1, height // SIDE), max(1, width // SIDE)
    rows = images[:, tall // 2 :: tall, : width // wide * wide]
    small = rows.reshape(count, -1, wide).mean(axis=2)
    small -= small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(small, axis=1)
    shown = length > SHOWN * np.percentile(length, 90)
    found: NDArray[np.float32] = small[shown] / length[shown, None]
    return found
