"""What a judge sees of a reconstruction, and what its answers, a logit per token, say of a slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maescan import kernels

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


def judge_features(
    images: Floats, predictions: Floats, restore_ids: Ids, token_ids: Ids | None, *, keep: int, patch: int
) -> Floats:
    """Features [B, T, ModelConfig.judge_features] of slices [B, H, W] from predictions [B*R, T, P*P]: the signed
    difference to the mean of the passes in which a token was hidden, the deviation between these, the token's own
    pixels, and the look of that mean (its mean, deviation and step between neighbours).

    A token that no pass hid has difference 0. Tokens at or over `keep` in restore_ids [B*R, T] were hidden.
    """
    pixels = kernels.patchify(images, token_ids, patch=patch)
    count, tokens, size = pixels.shape
    hidden = (restore_ids >= keep).reshape(count, -1, tokens, 1)
    every = predictions.reshape(count, -1, tokens, size)
    times = hidden.sum(axis=1, dtype=np.float32)
    weights = hidden / np.maximum(times, 1)[:, None]
    mean = (every * weights).sum(axis=1, dtype=np.float32)
    spread = np.sqrt((np.square(every - mean[:, None]) * weights).sum(axis=1, dtype=np.float32))
    mean = np.where(times > 0, mean, pixels)
    features: Floats = np.concatenate([pixels - mean, spread, pixels, _look(mean, patch)], axis=2, dtype=np.float32)
    return features


def _look(mean: Floats, patch: int) -> Floats:
    squares = mean.reshape(*mean.shape[:2], patch, patch)
    steps = [np.abs(np.diff(squares, axis=axis)).mean(axis=(2, 3)) for axis in (2, 3)]
    return np.stack([mean.mean(axis=2), mean.std(axis=2), (steps[0] + steps[1]) / 2], axis=2)


def slice_score(logits: Floats) -> Floats:
    """The score [B], 0 to 1, of token logits [B, T]: s / (1 + s), s the sum of the tokens' odds exp(logit). The
    highest tokens decide, and every token that looks more abnormal raises it."""
    odds = np.exp(np.minimum(logits, 40).astype(np.float64)).sum(axis=1)
    score: Floats = (odds / (1 + odds)).astype(np.float32)
    return score


def token_map(logits: Floats, token_ids: Ids, grid: int, patch: int) -> Floats:
    """The probability of an anomaly as a map [B, H, W] of token logits [B, T] at token_ids [B, T] of a grid of `grid`
    x `grid` patches, linear between the middles of patches; 0 at patches outside the set."""
    cells = np.zeros((len(logits), grid * grid), np.float32)
    np.put_along_axis(cells, token_ids.astype(np.int64), 1 / (1 + np.exp(-np.clip(logits, -40, 40))), axis=1)
    at = np.clip((np.arange(grid * patch) + 0.5) / patch - 0.5, 0, grid - 1)
    low = np.minimum(at.astype(int), grid - 2)
    taps = np.zeros((grid * patch, grid), np.float32)
    taps[np.arange(len(at)), low] = 1 - (at - low)
    taps[np.arange(len(at)), low + 1] = at - low
    return np.asarray(taps @ cells.reshape(-1, grid, grid) @ taps.T, np.float32)
