"""Token sets: which patches of a slice the models see. Leaving out the air leaves the cost to follow the anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.errors import ConfigError
from maescan.method.intensity import AIR, HU_AIR, HU_HIGH, HU_LOW
from maescan.method.slices import SliceStore

CHUNK = 64  # slices looked at together
MULTIPLE = 8  # token counts of buckets; a multiple of the passes, so that complementary masks divide it


def grow(foreground: NDArray[np.bool_], pixels: int, axes: tuple[int, ...] = (1, 2)) -> NDArray[np.bool_]:
    """Foreground [S, H, W] widened by `pixels` in rows and columns, so that a lesion at the rim is inside."""
    grown = foreground.copy()
    for axis in axes:
        source = grown.copy()
        for shift in range(1, pixels + 1):
            ahead = tuple(slice(shift, None) if a == axis else slice(None) for a in range(3))
            behind = tuple(slice(None, -shift) if a == axis else slice(None) for a in range(3))
            grown[ahead] |= source[behind]
            grown[behind] |= source[ahead]
    return grown


def foreground_patches(foreground: NDArray[np.bool_], patch: int, *, margin: int = 2) -> NDArray[np.bool_]:
    """Patches [S, L] that hold any voxel of foreground [S, H, W] grown by `margin` pixels, and those in between:
    a lesion may be as dark as air."""
    s, h, w = foreground.shape
    bands = np.any(grow(foreground, margin, (1,)).reshape(s, h // patch, patch, w), axis=2)  # across them it can wait
    grid = np.any(grow(bands, margin, (2,)).reshape(s, h // patch, w // patch, patch), axis=3)
    return (_between(grid, 1) & _between(grid, 2)).reshape(s, -1)


def _between(patches: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """What lies between patches [S, h, w] along an axis, and these."""
    after = np.flip(np.logical_or.accumulate(np.flip(patches, axis), axis=axis), axis)
    return np.logical_or.accumulate(patches, axis=axis) & after


def choose_buckets(
    counts: Sequence[int] | NDArray[np.integer], tokens: int, *, waste: float = 0.05
) -> tuple[int, ...]:
    """Few token counts (multiples of 8, the last being `tokens`, L) that pad slices of `counts` foreground patches
    by at most the share `waste` in all, or by as little as multiples of 8 can. Slices without foreground cost nothing
    and do not count."""
    needed = np.asarray(counts)[np.asarray(counts) > 0]

    def padded(sizes: list[int]) -> int:
        return int(np.asarray(sizes)[np.searchsorted(sizes, needed)].sum())

    sizes = [*range(MULTIPLE, tokens, MULTIPLE), tokens]
    while len(sizes) > 1:
        fewer = min(([s for s in sizes if s != gone] for gone in sizes[:-1]), key=padded)
        if padded(fewer) > max((1 + waste) * needed.sum(), padded(sizes)):
            break
        sizes = fewer
    return tuple(sizes)


@dataclass(frozen=True, eq=False)
class TokenSets:
    """The token sets of N slices. order [N, L]: patches, those of the foreground first, then the nearest to it;
    count [N]: patches of the foreground; size [N]: tokens of the set, 0 where there is no foreground. A slice's set
    depends on that slice alone."""

    order: NDArray[np.int16]
    count: NDArray[np.int64]
    size: NDArray[np.int64]

    def ids(self, which: Any, size: int) -> NDArray[np.int32]:
        """token_ids [B, T] of the slices `which` at T = `size` tokens, ascending."""
        return np.sort(self.order[which, :size], axis=-1).astype(np.int32)

    @classmethod
    def gathered(cls, picked: Sequence[tuple[TokenSets, int]]) -> TokenSets:
        """The sets of single slices (sets, index), of as many scans as there are."""
        parts = zip(*((sets.order[i], sets.count[i], sets.size[i]) for sets, i in picked), strict=True)
        return cls(*(np.stack(part) for part in parts))

    def groups(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(T, the slices whose sets have T tokens), without those that have no foreground."""
        for size in np.unique(self.size[self.size > 0]):
            yield int(size), np.flatnonzero(self.size == size)


def token_sets(images: SliceStore, preset: Preset) -> TokenSets | None:
    """The sets of slices [N, H, W] on the model's grid; None where the models see all patches.

    Raises ConfigError where the preset's intensities have no fixed value of air.
    """
    config, model = preset.tokens, preset.model
    if config.method == "all":
        return None
    air = air_level(preset)
    parts = [
        foreground_patches(images[i : i + CHUNK] > air, model.patch_size, margin=config.margin)
        for i in range(0, len(images), CHUNK)
    ]
    patches = np.concatenate([np.empty((0, model.tokens), bool), *parts])
    buckets = np.array([*(b for b in config.buckets if b < model.tokens), model.tokens])
    count = patches.sum(axis=1)
    size = np.where(count > 0, buckets[np.searchsorted(buckets, count)], 0)
    return TokenSets(patch_order(patches), count, size)


def patch_order(patches: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Foreground patches [N, L] of square grids -> all patches [N, L], foreground first, then by distance to it."""
    count = patches.shape[1]
    distance = patch_distances(round(count**0.5))
    parts = [np.empty((0, count), np.int16)]
    for start in range(0, len(patches), CHUNK):
        chunk = patches[start : start + CHUNK]
        nearest = np.where(chunk[:, None, :], distance, np.int16(32767)).min(axis=2)
        parts.append(np.argsort(nearest, axis=1, kind="stable").astype(np.int16))
    return np.concatenate(parts)


def patch_distances(side: int) -> NDArray[np.int16]:
    """Squared distances [L, L] between the patches of a grid of `side` x `side`."""
    at = np.stack(np.divmod(np.arange(side * side), side), axis=1)
    return ((at[:, None] - at[None]) ** 2).sum(axis=2).astype(np.int16)


def air_level(preset: Preset) -> float:
    """Up to which value a pixel of a slice on the model's grid is air."""
    if preset.intensity.method == "hu":
        return HU_AIR
    if preset.intensity.method == "percentile":
        return AIR * preset.intensity.top
    raise ConfigError(
        f"'{preset.intensity.method}' intensities have no fixed value of air: tissue cannot be told from it",
        remedy="use percentile or hu, or tokens.method all and pseudo.where anywhere",
    )


def tissue_of(images: NDArray[np.floating], preset: Preset) -> NDArray[np.bool_]:
    """Pixels of slices [S, H, W] on the model's grid that are not air, the lowest value of a slice where air has no
    fixed one."""
    if preset.intensity.method in ("percentile", "hu"):
        return np.asarray(images > air_level(preset))
    return np.asarray(images > images.min(axis=(1, 2), keepdims=True))


def value_range(preset: Preset) -> tuple[float, float] | None:
    """What the preset's intensities reach from, and to; None where that depends on the scan."""
    if preset.intensity.method == "hu":
        return HU_LOW, HU_HIGH
    return (0.0, 1.5 * preset.intensity.top) if preset.intensity.method == "percentile" else None
