"""The one path from slices to scores, for scoring and evaluation alike (paper, sections 3.2 to 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import kernels
from maescan.config import Preset
from maescan.method import measures
from maescan.method.masks import make_masks
from maescan.method.tokens import token_sets

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class SliceScores:
    """score, mse, mae [B]; difference and reconstruction [B, H, W] when maps were asked for."""

    score: Floats
    mse: Floats
    mae: Floats
    difference: Floats | None = None
    reconstruction: Floats | None = None


def score_slices(
    images: Floats,
    slice_ids: ArrayLike,
    engine: Any,
    preset: Preset,
    *,
    maps: bool = False,
) -> SliceScores:
    """Scores slices [B, H, W], higher is more abnormal. slice_ids [B]: each slice's index in its scan, the key of its
    masks. With foreground tokens a slice with no foreground costs nothing and scores 0."""
    images, slice_ids = np.ascontiguousarray(images, np.float32), np.asarray(slice_ids)
    sets = token_sets(images, preset)
    if sets is None:
        return _score(images, slice_ids, None, engine, preset, maps)
    scores = (np.zeros(len(images), np.float32) for _ in range(3))
    pictures = (np.zeros_like(images), images.copy()) if maps else (None, None)
    whole = SliceScores(*scores, *pictures)
    for size, which in sets.groups():
        part = _score(images[which], slice_ids[which], sets.ids(which, size), engine, preset, maps)
        for field in fields(SliceScores):
            if getattr(whole, field.name) is not None:
                getattr(whole, field.name)[which] = getattr(part, field.name)
    return whole


def _score(
    images: Floats, slice_ids: NDArray[Any], token_ids: Ids | None, engine: Any, preset: Preset, maps: bool
) -> SliceScores:
    """token_ids [B, T]: the patches that the models see; None is the full grid."""
    model, count = preset.model, len(images)
    ids = token_ids if token_ids is not None else np.tile(np.arange(model.tokens, dtype=np.int32), (count, 1))
    if preset.input == "image":
        return _without_mae(images, ids, token_ids, engine, preset)
    keep_ids, restore_ids = make_masks(preset.masks, slice_ids, ids.shape[1])
    visible = kernels.patchify_visible(images, keep_ids, token_ids, patch=model.patch_size)
    rows = np.repeat(ids, preset.masks.passes, axis=0)
    predictions = engine.reconstruct(visible, rows, keep_ids, restore_ids)
    whole = preset.measure == "ssim" or preset.input == "reconstruction" or maps
    result = kernels.average_difference(
        images,
        predictions,
        restore_ids,
        keep=preset.masks.pasted(keep_ids.shape[1]),
        patch=model.patch_size,
        token_ids=token_ids,
        reconstruction=whole,
        squared=preset.input == "l2",
        tokens=preset.input == "l1",
        errors=True,
    )
    score = _judge(images, ids, token_ids, result, engine, preset)
    return SliceScores(
        score,
        result.mse,
        result.mae,
        result.difference[:, 0] if maps else None,
        result.reconstruction if maps else None,
    )


def _judge(images: Floats, ids: Any, token_ids: Any, result: Any, engine: Any, preset: Preset) -> Floats:
    if preset.measure == "classifier":
        tokens = result.tokens
        if preset.input != "l1":
            seen = result.reconstruction if preset.input == "reconstruction" else result.squared[:, 0]
            tokens = kernels.patchify(seen, token_ids, patch=preset.model.patch_size)
        return np.asarray(engine.classify(tokens, ids), dtype=np.float32)
    if preset.measure == "ssim":
        return measures.anomaly("ssim", images, result.reconstruction)
    return result.mse if preset.measure == "mse" else result.mae


def _without_mae(images: Floats, ids: Any, token_ids: Any, engine: Any, preset: Preset) -> SliceScores:
    """The classifier on the slices themselves (an ablation of section 4.5): the differences are zero."""
    tokens = kernels.patchify(images, token_ids, patch=preset.model.patch_size)
    none = np.zeros(len(images), np.float32)
    return SliceScores(
        np.asarray(engine.classify(tokens, ids), np.float32), none, none, np.zeros_like(images), images
    )
