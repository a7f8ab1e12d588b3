"""What the kernels compute, in numpy: readable twins with the names and signatures of `maescan.kernels`.

B slices, R passes (row = b * R + r), T tokens of a slice's set, K visible tokens, P patch side. Arithmetic is the
kernels' own, in the same order, so that results agree to the bit (ssim: to rounding).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maescan.kernels.taps import Taps, resample_taps

__all__ = [
    "Differences",
    "average_difference",
    "extract_slices",
    "make_masks",
    "patchify",
    "patchify_visible",
    "pseudo_abnormal",
    "resample_taps",
    "ssim",
]


@dataclass(frozen=True)
class Differences:
    """What `average_difference` returns; fields that were not asked for are None.

    difference, squared [B, 1, H, W]; reconstruction [B, H, W]; tokens [B, T, P*P]; mse, mae [B]. All float32.
    """

    difference: Any
    reconstruction: Any = None
    squared: Any = None
    tokens: Any = None
    mse: Any = None
    mae: Any = None


def philox(key: tuple[int, int], counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Philox4x32-10 (Salmon et al., 2011): counter [..., 4] of 32-bit words to as many random words."""
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)
    low, half, (k0, k1) = np.uint64(0xFFFFFFFF), np.uint64(32), key
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (b >> half) ^ c1 ^ np.uint64(k0), b & low, (a >> half) ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def make_masks(
    slice_ids: NDArray[np.integer],
    *,
    seed: int,
    passes: int,
    tokens: int,
    keep: int,
    strategy: Literal["random", "complementary"] = "random",
    device: str = "cpu",
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """See `maescan.kernels.make_masks`. Noise is Philox with key seed and counter (token // 4, pass, slice)."""
    drawn = 1 if strategy == "complementary" else passes
    counter = np.zeros((len(slice_ids), drawn, (tokens + 3) // 4, 4), np.uint64)
    counter[..., 0] = np.arange(counter.shape[2])
    counter[..., 1] = np.arange(drawn)[:, None]
    slices = np.asarray(slice_ids).astype(np.uint64)[:, None, None]
    counter[..., 2], counter[..., 3] = slices & np.uint64(0xFFFFFFFF), slices >> np.uint64(32)
    words = philox((seed & 0xFFFFFFFF, seed >> 32), counter).astype(np.uint32).view(np.int32)
    noise = words.reshape(len(slice_ids), drawn, 4 * counter.shape[2])[..., :tokens]
    shuffle = np.argsort(noise, axis=-1, kind="stable")
    if strategy == "complementary":
        shuffle = np.concatenate([np.roll(shuffle, -r * keep, axis=-1) for r in range(passes)], axis=1)
    shuffle = shuffle.reshape(-1, tokens)
    return shuffle[:, :keep].astype(np.int32), np.argsort(shuffle, axis=-1).astype(np.int32)


def _rounded(values: NDArray[np.float32], dtype: str) -> NDArray[np.number]:
    """float32 to the dtype, to nearest even; bfloat16 as its bits in uint16."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def _widened(values: NDArray[np.number]) -> NDArray[np.float32]:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32)


def _to_patches(slices: NDArray[np.float32], patch: int) -> NDArray[np.float32]:
    """[B, H, W] -> [B, L, P*P]."""
    b, h, w = slices.shape
    split = slices.reshape(b, h // patch, patch, w // patch, patch)
    return split.transpose(0, 1, 3, 2, 4).reshape(b, h // patch * (w // patch), patch * patch)


def _from_patches(patches: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """[B, L, P*P] -> [B, H, W]."""
    b, h, w = shape
    patch = round(patches.shape[-1] ** 0.5)
    split = patches.reshape(b, h // patch, w // patch, patch, patch)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 2, 4).reshape(b, h, w))


def _chosen(patches: NDArray[np.float32], ids: NDArray[np.int32] | None) -> NDArray[np.float32]:
    """patches [B, L, P*P], ids [B, T] -> [B, T, P*P]."""
    return patches if ids is None else np.take_along_axis(patches, ids[:, :, None].astype(np.int64), axis=1)


def patchify(
    slices: NDArray[np.float32], token_ids: NDArray[np.int32] | None = None, *, patch: int, dtype: str = "float32"
) -> NDArray[np.number]:
    """See `maescan.kernels.patchify`."""
    return _rounded(_chosen(_to_patches(slices, patch), token_ids), dtype)


def patchify_visible(
    slices: NDArray[np.float32],
    keep_ids: NDArray[np.int32],
    token_ids: NDArray[np.int32] | None = None,
    *,
    patch: int,
    dtype: str = "float32",
) -> NDArray[np.number]:
    """See `maescan.kernels.patchify_visible`."""
    passes = len(keep_ids) // len(slices)
    tokens = np.repeat(_chosen(_to_patches(slices, patch), token_ids), passes, axis=0)
    return _rounded(_chosen(tokens, keep_ids), dtype)


def average_difference(
    slices: NDArray[np.float32],
    predictions: NDArray[np.number],
    restore_ids: NDArray[np.int32],
    *,
    keep: int,
    patch: int,
    token_ids: NDArray[np.int32] | None = None,
    reconstruction: bool = False,
    squared: bool = False,
    tokens: bool = False,
    errors: bool = False,
) -> Differences:
    """See `maescan.kernels.average_difference`."""
    count, passes = len(slices), len(predictions) // len(slices)
    cells = _to_patches(slices, patch)
    seen = _chosen(cells, token_ids)
    if predictions.shape[1] != seen.shape[1]:  # of the hidden tokens alone
        places = np.maximum(restore_ids - keep, 0)[:, :, None].astype(np.int64)
        predictions = np.take_along_axis(predictions, places, axis=1)
    predicted = _widened(predictions).reshape(count, passes, *seen.shape[1:])
    hidden = restore_ids.reshape(count, passes, -1) >= keep
    mean = np.zeros_like(seen)
    for r in range(passes):
        mean = mean + np.where(hidden[:, r, :, None], seen - predicted[:, r], np.float32(0))
    mean *= np.float32(1) / np.float32(passes)
    whole = np.zeros_like(cells)
    np.put_along_axis(
        whole, (_all(count, cells) if token_ids is None else token_ids)[:, :, None].astype(int), mean, 1
    )
    image = _from_patches(whole, slices.shape)
    mse, mae = (_slice_mean(values, patch) for values in (whole * whole, np.abs(whole))) if errors else (None, None)
    return Differences(
        np.abs(image)[:, None],
        slices - image if reconstruction else None,
        (image * image)[:, None] if squared else None,
        np.abs(mean) if tokens else None,
        mse,
        mae,
    )


def _all(count: int, cells: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.tile(np.arange(cells.shape[1], dtype=np.int32), (count, 1))


def _slice_mean(values: NDArray[np.float32], patch: int) -> NDArray[np.float32]:
    """[B, L, P*P] -> [B]: down a patch's columns, along the row of sums, then over patches in 32 lanes of float64."""
    grid = values.reshape(*values.shape[:2], patch, patch)
    columns = np.add.accumulate(grid, axis=2)[:, :, -1]
    sums = np.add.accumulate(columns, axis=2)[:, :, -1].astype(np.float64)
    return (_in_lanes(sums) / (values.shape[1] * values.shape[2])).astype(np.float32)


def _in_lanes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums along the last axis in the kernels' order: 32 interleaved lanes, then the lanes in order."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % 32)])
    lanes = np.add.accumulate(padded.reshape(*values.shape[:-1], -1, 32), axis=-2)[..., -1, :]
    return np.add.accumulate(lanes, axis=-1)[..., -1]


def pseudo_abnormal(
    reconstructions: NDArray[np.float32], boxes: NDArray[np.int32], factors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """See `maescan.kernels.pseudo_abnormal`."""
    altered = reconstructions.copy()
    for b, slice_boxes in enumerate(boxes):
        covered = np.zeros(altered.shape[1:], bool)
        for k, (top, left, height, width) in enumerate(slice_boxes.astype(int)):
            box = np.s_[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
            covered[box] = True
            if factors.ndim == 2:
                altered[b][box] *= factors[b, k]
        if factors.ndim == 3:
            altered[b][covered] *= factors[b][covered]
    return altered


def ssim(
    slices: NDArray[np.float32], reconstructions: NDArray[np.float32], *, data_range: float = 2.0
) -> NDArray[np.float32]:
    """See `maescan.kernels.ssim`."""
    x, y = slices.astype(np.float64), reconstructions.astype(np.float64)
    n = 49
    ux, uy, uxx, uyy, uxy = (_window_sums(values) / n for values in (x, y, x * x, y * y, x * y))
    vx, vy, vxy = (n / (n - 1) * v for v in (uxx - ux * ux, uyy - uy * uy, uxy - ux * uy))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similar = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux * ux + uy * uy + c1) * (vx + vy + c2))
    return (_in_lanes(_in_lanes(similar)) / similar[0].size).astype(np.float32)


def _window_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over 7 x 7 windows: [B, H, W] -> [B, H-6, W-6]."""
    tall, wide = values.shape[1] - 6, values.shape[2] - 6
    down = sum((values[:, i : i + tall] for i in range(7)), np.zeros(()))
    return sum((down[:, :, i : i + wide] for i in range(7)), np.zeros(()))


def extract_slices(
    volume: NDArray[np.number],
    rows: Taps,
    cols: Taps,
    *,
    scale: float,
    offset: float,
    background: float | None,
    low: float,
    high: float,
    ripple: float = 0.0,
    floor: float = 0.0,
    dtype: str = "float32",
) -> NDArray[np.number]:
    """See `maescan.kernels.extract_slices`."""
    raw = volume.astype(np.float32)
    values = np.clip(raw * np.float32(scale) + np.float32(offset), np.float32(low), np.float32(high))
    if background is not None:
        values[raw == np.float32(background)] = 0
    values = _resampled(_resampled(values, rows, axis=1), cols, axis=2)
    values = np.clip(values, np.float32(min(low, 0)), np.float32(high))
    if ripple:
        values = np.where(values >= np.float32(ripple), values, np.float32(0))
    return _rounded(values + np.float32(floor), dtype)


def _resampled(values: NDArray[np.float32], taps: Taps, axis: int) -> NDArray[np.float32]:
    shape = [1, 1, 1]
    shape[axis] = -1
    total = np.zeros((), np.float32)
    for j in range(taps.weights.shape[1]):
        total = total + taps.weights[:, j].reshape(shape) * np.take(values, taps.index + j, axis=axis)
    return total
