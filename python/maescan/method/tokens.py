"""Token sets: which patches of a slice the models see. Leaving out the air leaves the cost to follow the anatomy."""

from __future__ import annotations

import math
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
FAR = 16_000  # a squared distance beyond any on a grid; twice as much fits in 16 bits
SLOPES = np.unique(np.round(64 * np.tan(np.linspace(-1.55, 1.55, 63)))).astype(np.float32) / 64
"""Columns a row of the lines that bound a hull; in 64ths, so that sums of them are exact."""
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
FIRST_BIT, LAST_BIT = BITS.argmax(axis=1), 7 - BITS[:, ::-1].argmax(axis=1)
LEAST = 0.01
"""Share of a patch that a hull must have."""
PADDING = {"foreground": (8, 0.05), "hull": (4, 0.03)}
"""Of what token counts of buckets are multiples, and the share of padding, by method."""


def foreground_patches(foreground: NDArray[np.bool_], patch: int, *, margin: int = 2) -> NDArray[np.bool_]:
    """Patches [S, L] that hold any voxel of foreground [S, H, W], or have one within `margin` pixels in rows and
    columns, since a lesion may lie at the rim; and those in between: a lesion may be as dark as air."""
    grid = _bands(_bands(foreground, patch, margin, 1), patch, margin, 2)
    return (_between(grid, 1) & _between(grid, 2)).reshape(len(grid), -1)


def _bands(foreground: NDArray[np.bool_], patch: int, margin: int, axis: int) -> NDArray[np.bool_]:
    """Of bands of `patch` pixels along an axis, whether they hold foreground, or lie within `margin` of it."""
    size = foreground.shape[axis]
    ends = ((max(0, start - margin), start + patch + margin) for start in range(0, size, patch))
    whole = (slice(None),) * axis
    return np.stack([foreground[(*whole, slice(*end))].any(axis=axis) for end in ends], axis=axis)


def _between(patches: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """What lies between patches [S, h, w] along an axis, and these."""
    after = np.flip(np.logical_or.accumulate(np.flip(patches, axis), axis=axis), axis)
    return np.logical_or.accumulate(patches, axis=axis) & after


def patches_of(foreground: NDArray[np.bool_], preset: Preset) -> NDArray[np.bool_]:
    """Patches [S, L] that a preset's models see of foreground [S, H, W], before padding."""
    patch = preset.model.patch_size
    if preset.tokens.method == "hull":
        return hull_patches(foreground, patch)
    return foreground_patches(foreground, patch, margin=preset.tokens.margin)


def hull_patches(foreground: NDArray[np.bool_], patch: int) -> NDArray[np.bool_]:
    """Patches [S, L] of which at least a hundredth lies in the convex hull of a slice's foreground [S, H, W], where a
    lesion may be as dark as air, inside or at the rim. The hull is that of 126 directions, a little more than it."""
    held, first, last = _ends(foreground)
    right = _hull_ends(np.where(held, last, -np.inf))[..., None]
    left = -_hull_ends(np.where(held, -first, -np.inf))[..., None]
    starts = np.arange(0, foreground.shape[2], patch, dtype=np.float32)
    inside = (np.minimum(right + 1, starts + patch) - np.maximum(left, starts)).clip(0)
    inside = np.where(_between(held, 1)[..., None], inside, 0)
    count = inside.reshape(len(held), -1, patch, len(starts)).sum(axis=2)
    return (count >= LEAST * patch**2).reshape(len(held), -1)


def _ends(foreground: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Whether rows [S, H] of foreground [S, H, W] have any, and its first and last column: by bytes, then bits."""
    bits = np.packbits(foreground, axis=2)
    some = bits != 0
    start, end = some.argmax(axis=2), bits.shape[2] - 1 - some[:, :, ::-1].argmax(axis=2)
    first, last = (np.take_along_axis(bits, at[..., None], 2)[..., 0] for at in (start, end))
    return some.any(axis=2), 8 * start + FIRST_BIT[first], 8 * end + LAST_BIT[last]


def _hull_ends(reached: NDArray[np.floating]) -> NDArray[np.float32]:
    """The columns [S, H] that a convex hull reaches in each row of those `reached` by foreground (-inf: none): the
    least of all lines that no row passes, one a slope."""
    along = SLOPES[:, None] * np.arange(reached.shape[1], dtype=np.float32)
    highest = (reached.astype(np.float32)[:, None] + along).max(axis=2, keepdims=True)
    ends: NDArray[np.float32] = np.floor((highest - along).min(axis=1))
    return ends


def multiple_of(preset: Preset) -> int:
    """Of what token counts are multiples; complementary masks divide it."""
    multiple, _ = PADDING[preset.tokens.method]
    return math.lcm(multiple, preset.masks.passes) if preset.masks.strategy == "complementary" else multiple


def choose_buckets(counts: Sequence[int] | NDArray[np.integer], preset: Preset) -> tuple[int, ...]:
    """Few token counts (multiples of `multiple_of`, the last being L, all) that pad slices of `counts` foreground
    patches by no more than the share of PADDING in all, or by as little as such multiples can. Slices without
    foreground cost nothing and do not count."""
    _, waste = PADDING[preset.tokens.method]
    needed, tokens, multiple = np.asarray(counts)[np.asarray(counts) > 0], preset.model.tokens, multiple_of(preset)

    def padded(sizes: list[int]) -> int:
        return int(np.asarray(sizes)[np.searchsorted(sizes, needed)].sum())

    sizes = [*(size for size in range(multiple, tokens, multiple) if preset.masks.visible(size)), tokens]
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
    parts = [patches_of(images[i : i + CHUNK] > air, preset) for i in range(0, len(images), CHUNK)]
    patches = np.concatenate([np.empty((0, model.tokens), bool), *parts])
    buckets = np.array([*(b for b in config.buckets if b < model.tokens), model.tokens])
    count = patches.sum(axis=1)
    size = np.where(count > 0, buckets[np.searchsorted(buckets, count)], 0)
    return TokenSets(patch_order(patches), count, size)


def patch_order(patches: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Foreground patches [N, L] of square grids -> all patches [N, L], foreground first, then by distance to it."""
    side = round(patches.shape[1] ** 0.5)
    along = (np.arange(side)[:, None] - np.arange(side)) ** 2  # squared distances, of one axis and then of both
    far = np.where(patches.reshape(-1, side, side), 0, np.int16(FAR)).astype(np.int16)
    for _ in range(2):
        far = (far[:, None] + along.astype(np.int16)[..., None]).min(axis=2).swapaxes(1, 2)
    return np.argsort(far.reshape(patches.shape), axis=1, kind="stable").astype(np.int16)


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
    fixed one; of patches of a CT all that is not as dark as CT goes, since a nodule lies in lung."""
    if preset.patches:
        return np.asarray(images > HU_LOW + 0.1)  # 10 HU, for it may be rounded
    if preset.intensity.method in ("percentile", "hu"):
        return np.asarray(images > air_level(preset))
    return not_air(images)


def not_air(images: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Pixels of slices [S, H, W] that are not air, the lowest value of their slice, whatever the intensities."""
    return np.asarray(images) > np.asarray(images).min(axis=(1, 2), keepdims=True)


def value_range(preset: Preset) -> tuple[float, float] | None:
    """What the preset's intensities reach from, and to; None where that depends on the scan."""
    if preset.intensity.method == "hu":
        return HU_LOW, HU_HIGH
    return (0.0, 1.5 * preset.intensity.top) if preset.intensity.method == "percentile" else None
