"""Heat maps: their scale, the same for all scans, and evening out what the masks leave in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.method.engine import Engine
from maescan.method.masks import make_masks
from maescan.method.raw import Slices, on_host
from maescan.method.score import SliceScores, score_slices
from maescan.method.tokens import TokenSets, token_sets

Floats = NDArray[np.float32]
LEVELS = 256
STEPS = 1024
"""Steps of a written map up to `full_scale`."""


def full_scale(preset: Preset) -> float:
    """The map's value that has the full colour where no healthy scans tell: half of the intensities' range, 400 HU, 2
    standard deviations; of a judge, certainty."""
    if preset.measure == "judge":
        return 1.0
    if preset.intensity.method == "percentile":
        return preset.intensity.top / 2
    return {"hu": 4.0}.get(preset.intensity.method, 2.0)


def units(preset: Preset) -> str:
    """What a map's values are counted in."""
    if preset.measure == "judge":
        return "probability"
    top = f"{preset.intensity.top:g}"
    named = {"percentile": f"of intensities 0 to {top}", "hu": "hundreds of HU", "none": "as the scan's values"}
    return named.get(preset.intensity.method, "standard deviations")


def colour_shares(values: ArrayLike, middle: float, top: float) -> NDArray[np.float64]:
    """Where map values lie in colours from 0 to 1: `middle` in their middle, `top` and over at their end."""
    return np.interp(np.asarray(values, np.float64), (0, min(middle, 0.999 * top), top), (0, 0.5, 1))


def levels(values: ArrayLike, full: float) -> NDArray[np.uint8]:
    """Map values as 0..255, finer where they are low: 255 is twice `full` and over. Never out of order."""
    shares = np.clip(np.asarray(values, np.float32) / np.float32(2 * full), 0, 1)
    return np.asarray(np.sqrt(shares) * np.float32(LEVELS - 1) + np.float32(0.5), np.uint8)


def level_values(full: float) -> NDArray[np.float64]:
    """The map value in the middle of each level [256]."""
    return 2 * full * (np.arange(LEVELS) / (LEVELS - 1)) ** 2


def mapped_slices(
    images: Slices, slice_ids: ArrayLike, engine: Engine, preset: Preset, *, sets: TokenSets | None = None
) -> SliceScores:
    """`score_slices` with maps, which are evened out: whoever shows or judges a heat map takes this one."""
    scored = score_slices(images, slice_ids, engine, preset, maps=True, sets=sets)
    assert scored.difference is not None
    return replace(scored, difference=even_out(scored.difference, images, slice_ids, preset, sets=sets))


def even_out(
    maps: Floats, images: Slices, slice_ids: ArrayLike, preset: Preset, *, sets: TokenSets | None = None
) -> Floats:
    """Maps [B, H, W] without the masks' pattern: what a token's map would be, were it hidden as often as all are.
    sets: token sets of the images, where they are at hand.

    A token that r of R masks hide is averaged with R - r times nothing, and random masks differ from slice to slice,
    so that a map is striped across slices. Of a token that no mask hid nothing is known: it has its neighbours' mean
    within the slice. Complementary masks hide all tokens as often; a judge's map is none of differences."""
    masks = preset.masks
    if preset.measure == "judge" or preset.input == "image" or not masks.paste or masks.strategy == "complementary":
        return maps
    grid, patch = preset.model.image_size // preset.model.patch_size, preset.model.patch_size
    share = _hidden_share(images, np.asarray(slice_ids), preset, sets).reshape(-1, grid, grid)
    tokens = maps.reshape(-1, grid, patch, grid, patch)
    factor = np.where(share > 0, np.float32(masks.ratio) / np.maximum(share, np.float32(1e-6)), 0)
    even = tokens * factor[:, :, None, :, None].astype(np.float32)
    for which, row, column in np.argwhere(share == 0):
        even[which, row, :, column] = _around(even[which], share[which], row, column)
    return np.asarray(even.reshape(maps.shape), np.float32)


def _hidden_share(images: Slices, slice_ids: NDArray[np.generic], preset: Preset, sets: TokenSets | None) -> Floats:
    """Share of the masks that hide each patch [B, L]; patches outside of a slice's token set count as all alike."""
    count, tokens = len(images), preset.model.tokens
    share = np.full((count, tokens), preset.masks.ratio, np.float32)
    if sets is None and preset.tokens.method != "all":
        sets = token_sets(on_host(images), preset)
    groups = [(tokens, np.arange(count))] if sets is None else sets.groups()
    for size, which in groups:
        keep = preset.masks.visible(size)
        _, restore = make_masks(preset.masks, slice_ids[which], size)
        hidden = (np.asarray(restore).reshape(len(which), -1, size) >= keep).mean(axis=1, dtype=np.float32)
        ids = np.tile(np.arange(tokens), (len(which), 1)) if sets is None else sets.ids(which, size)
        np.put_along_axis(share_of := share[which], ids.astype(np.int64), hidden, axis=1)
        share[which] = share_of
    return share


def _around(even: Floats, share: Floats, row: int, column: int) -> Floats | float:
    """The mean map of a token's neighbours that were hidden; 0 where there is none."""
    places = [(row + r, column + c) for r, c in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    inside = [(r, c) for r, c in places if 0 <= r < len(share) and 0 <= c < len(share) and share[r, c] > 0]
    if not inside:
        return 0.0
    return np.asarray(np.mean([even[r, :, c] for r, c in inside], axis=0, dtype=np.float32))
