"""Token sets: which patches of a slice the models see. Leaving out the air leaves the cost to follow the anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MULTIPLE = 8  # token counts of buckets; a multiple of the passes, so that complementary masks divide it


def grow(foreground: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Foreground [S, H, W] widened by `pixels` in rows and columns, so that a lesion at the rim is inside."""
    grown = foreground.copy()
    for axis in (1, 2):
        source = grown.copy()
        for shift in range(1, pixels + 1):
            ahead = tuple(slice(shift, None) if a == axis else slice(None) for a in range(3))
            behind = tuple(slice(None, -shift) if a == axis else slice(None) for a in range(3))
            grown[ahead] |= source[behind]
            grown[behind] |= source[ahead]
    return grown


def foreground_patches(foreground: NDArray[np.bool_], patch: int, *, margin: int = 3) -> NDArray[np.bool_]:
    """Patches [S, L] that hold any voxel of foreground [S, H, W] grown by `margin` pixels."""
    s, h, w = foreground.shape
    grid = grow(foreground, margin).reshape(s, h // patch, patch, w // patch, patch)
    return grid.any(axis=(2, 4)).reshape(s, -1)


def choose_buckets(
    counts: Sequence[int] | NDArray[np.integer], tokens: int, *, waste: float = 0.10
) -> tuple[int, ...]:
    """Few token counts (multiples of 8, the last being `tokens`, L) that pad slices of `counts` foreground patches
    by at most the share `waste` in all. Slices without foreground cost nothing and do not count."""
    needed = np.asarray(counts)[np.asarray(counts) > 0]

    def padded(sizes: list[int]) -> int:
        return int(np.asarray(sizes)[np.searchsorted(sizes, needed)].sum())

    sizes = [*range(MULTIPLE, tokens, MULTIPLE), tokens]
    while len(sizes) > 1:
        fewer = min(([s for s in sizes if s != gone] for gone in sizes[:-1]), key=padded)
        if padded(fewer) > (1 + waste) * needed.sum():
            break
        sizes = fewer
    return tuple(sizes)


def token_set(patches: NDArray[np.bool_], buckets: Sequence[int]) -> NDArray[np.int32]:
    """token_ids [T] of one slice: its foreground patches [L], padded with the nearest others up to the smallest of
    `buckets` that holds them; ascending. Empty where there is no foreground. It depends on the slice alone."""
    count = int(patches.sum())
    if count == 0:
        return np.empty(0, np.int32)
    size = min((b for b in buckets if b >= count), default=len(patches))
    side = int(np.sqrt(len(patches)))
    at = np.stack(np.divmod(np.arange(len(patches)), side), axis=1)
    distance = ((at[:, None] - at[patches][None]) ** 2).sum(axis=2).min(axis=1)
    return np.sort(np.argsort(distance, kind="stable")[:size]).astype(np.int32)
