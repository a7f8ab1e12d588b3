"""The fused kernels, on CPU threads or CUDA: the only importer of the extension `maescan._kernels`.

B slices, R passes (row = b * R + r), T tokens of a slice's set, K visible tokens, P patch side, L cells of the grid.
Arrays are numpy, torch or CuPy (anything with DLPack), all of one call on one device; results are of the first one's
kind and device. bfloat16 results of numpy input are the bits in uint16, and uint16 is read as bfloat16 likewise.
`token_ids` [B, T] int32 are the distinct cells that the models see (None: the full grid in order). On CUDA work is
enqueued on `stream` (default: torch's current stream, else the default stream) and not waited for. NaN is not
checked. Raises ValueError naming an argument of wrong dtype, shape, device or layout, TypeError for what is no array,
EngineError where the device cannot be used. Twins in numpy: `maescan.kernels.reference`.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Literal

import numpy as np

from maescan import _kernels  # type: ignore[attr-defined]
from maescan.errors import ConfigError, EngineError
from maescan.kernels.reference import Differences
from maescan.kernels.taps import Taps, resample_taps
from maescan.machine import usable

__all__ = [
    "Differences",
    "Taps",
    "average_difference",
    "extract_slices",
    "make_masks",
    "patchify",
    "patchify_visible",
    "pseudo_abnormal",
    "resample_taps",
    "set_threads",
    "ssim",
    "threads",
]

_threads: int | None = None


def set_threads(count: int | None) -> None:
    """CPU threads of every later call; None: the cores that this process may use. Results do not depend on it."""
    global _threads
    if count is not None and count < 1:
        raise ConfigError(f"cannot run on {count} threads", remedy="use 1 or more")
    _threads = count


def threads() -> int:
    """CPU threads that a call uses."""
    return _threads or usable()


def make_masks(
    slice_ids: Any,
    *,
    seed: int,
    passes: int,
    tokens: int,
    keep: int,
    strategy: Literal["random", "complementary"] = "random",
    device: str = "cpu",
    stream: int | None = None,
) -> tuple[Any, Any]:
    """Masks of slices [B] (uint64 or int64 ids): keep_ids [B*R, K] and restore_ids [B*R, T], int32.

    Ids are local, 0..T-1. With shuffle = argsort(noise), keep = shuffle[:K] and restore = argsort(shuffle), as He et
    al.; a token is visible iff restore < K. Noise is Philox4x32-10 of (seed, slice, pass, token): the same numbers on
    every device and in every batch. `complementary`: pass r sees shuffle[r*K:(r+1)*K] of one permutation a slice.
    `device="cuda"` with numpy ids returns torch tensors. Raises ConfigError for sizes that do not fit.
    """
    if not (0 <= seed < 2**64 and passes >= 1 and 0 < keep <= tokens):
        raise ConfigError(f"cannot mask with seed {seed}, {passes} passes, {keep} of {tokens} tokens visible")
    if strategy not in ("random", "complementary"):
        raise ConfigError(f"unknown mask strategy '{strategy}'", remedy="use random or complementary")
    if strategy == "complementary" and passes * keep != tokens:
        raise ConfigError(
            f"complementary masks need passes x visible = tokens, not {passes} x {keep} = {tokens}",
            remedy="change masks.ratio or masks.passes",
        )
    ids = _slice_ids(slice_ids, device)
    (count,) = _shape(ids, "slice_ids", 1)
    made = _empty(ids, (count * passes, keep), "int32"), _empty(ids, (count * passes, tokens), "int32")
    _run("make_masks", ids, ids, *made, seed, passes, strategy == "complementary", stream=stream)
    return made


def patchify_visible(
    slices: Any,
    keep_ids: Any,
    token_ids: Any = None,
    *,
    patch: int,
    dtype: str = "float32",
    out: Any = None,
    stream: int | None = None,
) -> Any:
    """Visible patches [B*R, K, P*P] of slices [B, H, W] float32 (any strides) for keep_ids [B*R, K].

    `dtype`: float32, float16 or bfloat16, rounded to nearest even. Hidden patches are not read.
    """
    (count, *_), (rows, keep) = _shape(slices, "slices", 3), _shape(keep_ids, "keep_ids", 2)
    passes = _passes(rows, count, "keep_ids")
    out = _empty(slices, (rows, keep, patch * patch), dtype) if out is None else out
    _run("patchify", slices, slices, keep_ids, token_ids, out, passes, patch, stream=stream)
    return out


def patchify(
    slices: Any,
    token_ids: Any = None,
    *,
    patch: int,
    dtype: str = "float32",
    out: Any = None,
    stream: int | None = None,
) -> Any:
    """All tokens' patches [B, T, P*P] of slices [B, H, W] float32 (any strides)."""
    count, tokens = _tokens(slices, token_ids, patch)
    out = _empty(slices, (count, tokens, patch * patch), dtype) if out is None else out
    _run("patchify", slices, slices, None, token_ids, out, 1, patch, stream=stream)
    return out


def average_difference(
    slices: Any,
    predictions: Any,
    restore_ids: Any,
    *,
    keep: int,
    patch: int,
    token_ids: Any = None,
    reconstruction: bool = False,
    squared: bool = False,
    tokens: bool = False,
    errors: bool = False,
    out: Any = None,
    stream: int | None = None,
) -> Differences:
    """|X - mean over the passes of X with the hidden patches predicted| (paper, sections 3.2 and 3.4), in one pass.

    slices X [B, H, W] float32 (any strides), predictions [B*R, T, P*P] float32, float16 or bfloat16, restore_ids
    [B*R, T]. difference [B, 1, H, W]; on wish the mean reconstruction [B, H, W], the squared difference [B, 1, H, W],
    the difference as tokens [B, T, P*P], and mse and mae [B] over all pixels of a slice. A visible patch, or one
    outside the token set, differs by exactly zero; its predictions are not read. `out` takes the difference.
    """
    count, height, width = _shape(slices, "slices", 3)
    rows, _, _ = _shape(predictions, "predictions", 3)
    cells, passes = _tokens(slices, None, patch)[1], _passes(rows, count, "predictions")

    def made(wanted: bool, *shape: int) -> Any:
        return _empty(slices, shape, "float32") if wanted else None

    result = Differences(
        made(out is None, count, 1, height, width) if out is None else out,
        made(reconstruction, count, height, width),
        made(squared, count, 1, height, width),
        made(tokens, count, _tokens(slices, token_ids, patch)[1], patch * patch),
        made(errors, count),
        made(errors, count),
    )
    outputs = (result.difference, result.reconstruction, result.squared, result.tokens, made(errors, count, cells, 2))
    predictions, sizes = _bits(predictions), (passes, keep, patch)
    arguments = (slices, predictions, restore_ids, token_ids, *sizes, *outputs, result.mse, result.mae)
    _run("average_difference", slices, *arguments, stream=stream)
    return result


def pseudo_abnormal(reconstructions: Any, boxes: Any, factors: Any, *, stream: int | None = None) -> Any:
    """Altered copies [B, H, W] of reconstructions [B, H, W] float32 (paper, section 3.3): boxes times factors.

    boxes [B, Kmax, 4] int32 (top, left, height, width; height 0: unused) are clipped to the slice. factors [B, Kmax]:
    one a box, overlapping boxes multiply; [B, H, W]: one a pixel, once where any box covers.
    """
    altered = _empty(reconstructions, _shape(reconstructions, "reconstructions", 3), "float32")
    _run("pseudo_abnormal", reconstructions, reconstructions, boxes, factors, altered, stream=stream)
    return altered


def ssim(slices: Any, reconstructions: Any, *, data_range: float = 2.0, stream: int | None = None) -> Any:
    """SSIM [B] float32 of slices and reconstructions [B, H, W] float32 (any strides, sides of 7 or more).

    As `skimage.metrics.structural_similarity` at its defaults, within 1e-5 (sums are float64 here).
    """
    count, height, _ = _shape(slices, "slices", 3)
    scores, sums = _empty(slices, (count,), "float32"), _empty(slices, (count, max(height - 6, 0)), "float64")
    _run("ssim", slices, slices, reconstructions, data_range, sums, scores, stream=stream)
    return scores


def extract_slices(
    volume: Any,
    rows: Taps,
    cols: Taps,
    *,
    scale: float,
    offset: float,
    background: float | None,
    low: float,
    high: float,
    dtype: str = "float32",
    out: Any = None,
    stream: int | None = None,
) -> Any:
    """Slices [S, H, W] on the model's grid of a volume [S, H0, W0] (int16, uint16, uint8, float32; any strides).

    A voxel becomes 0 where it equals `background`, else clamp(voxel * scale + offset, low, high); then rows and cols
    resample (see `resample_taps`), and the result is clamped to (min(low, 0), high): with low > 0 tissue stays over
    air. No intermediate volume is made.
    """
    count, height, width = _shape(volume, "volume", 3)
    if (rows.n_in, cols.n_in) != (height, width):
        raise ValueError(f"volume must have slices of {rows.n_in} x {cols.n_in} voxels, not {height} x {width}")
    shape = (count, len(rows.index), len(cols.index))
    out = _empty(volume, shape, dtype) if out is None else out
    taps = (_beside(volume, array) for array in (rows.index, rows.weights, cols.index, cols.weights))
    _run("extract_slices", volume, volume, *taps, scale, offset, background, low, high, out, stream=stream)
    return out


def _run(name: str, like: Any, *arguments: Any, stream: int | None) -> None:
    try:
        getattr(_kernels, name)(*arguments, threads(), _stream(like) if stream is None else stream)
    except RuntimeError as error:
        raise EngineError(f"{name} cannot run: {error}") from error


def _is_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def _on_cuda(array: Any) -> bool:
    return not isinstance(array, np.ndarray) and array.__dlpack_device__()[0] in (2, 13)


def _stream(array: Any) -> int:
    if _is_torch(array) and array.is_cuda:
        return sys.modules["torch"].cuda.current_stream(array.device).cuda_stream
    return 0


def _empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An array of `like`'s kind and device."""
    if _is_torch(like):
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    dtype = {"bfloat16": "uint16"}.get(dtype, dtype)
    if _on_cuda(like):
        return sys.modules[type(like).__module__.partition(".")[0]].empty(shape, dtype)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < 1 << 18:
        return np.empty(shape, dtype)
    raw = np.empty(size + 64, np.uint8)  # numpy aligns to 16 bytes: rows of a patch would straddle two cache lines
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def _beside(like: Any, array: np.ndarray) -> Any:
    """A host array copied to where `like` is; host memory is read where it lies."""
    if not _on_cuda(like):
        return array
    if _is_torch(like):
        return sys.modules["torch"].from_numpy(array.copy()).to(like.device)
    return sys.modules[type(like).__module__.partition(".")[0]].asarray(array)


def _bits(array: Any) -> Any:
    """ml_dtypes.bfloat16 has no DLPack type in numpy: its bits."""
    named = isinstance(array, np.ndarray) and array.dtype.name == "bfloat16"
    return array.view(np.uint16) if named else array


def _slice_ids(slice_ids: Any, device: str) -> Any:
    """Ids as uint64 on the device (torch: int64 with the same bits)."""
    if not hasattr(slice_ids, "__dlpack__"):
        slice_ids = np.asarray(slice_ids)
    if isinstance(slice_ids, np.ndarray):
        if slice_ids.dtype.kind not in "iu":
            raise ValueError(f"slice_ids must be integers, not {slice_ids.dtype}")
        slice_ids = np.ascontiguousarray(slice_ids).astype(np.int64)
    if device == "cpu" or not isinstance(slice_ids, np.ndarray):
        return slice_ids
    import torch  # a caller that wants device memory from host ids has torch

    return torch.from_numpy(slice_ids).to(device)


def _shape(array: Any, name: str, rank: int) -> tuple[int, ...]:
    shape = tuple(getattr(array, "shape", ()))
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"{name} must be an array, not {type(array).__name__}")
    if len(shape) != rank:
        raise ValueError(f"{name} must have {rank} axes, not shape {list(shape)}")
    return shape


def _passes(rows: int, count: int, name: str) -> int:
    if count == 0 or rows == 0 or rows % count:
        if rows == count == 0:
            return 1
        raise ValueError(f"{name} must have a whole number of rows for each of {count} slices, not {rows}")
    return rows // count


def _tokens(slices: Any, token_ids: Any, patch: int) -> tuple[int, int]:
    """B and T."""
    count, height, width = _shape(slices, "slices", 3)
    if patch < 1:
        raise ValueError(f"patch must be 1 or more, not {patch}")
    return count, (height // patch) * (width // patch) if token_ids is None else _shape(token_ids, "token_ids", 2)[1]
