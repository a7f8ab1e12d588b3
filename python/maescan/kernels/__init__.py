"""The fused kernels, on CPU threads or CUDA: the only importer of the extension `maescan._kernels`.

B slices, R passes (row = b * R + r), T tokens of a slice's set, K visible tokens, P patch side, L cells of the grid.
Arrays are numpy, torch or CuPy (anything with DLPack), all of one call on one device; results are of the first one's
kind and device. bfloat16 results of numpy input are the bits in uint16, and uint16 is read as bfloat16 likewise.
`token_ids` [B, T] int32 are the distinct cells that the models see (None: the full grid in order). On CUDA work is
enqueued on `stream` (default: the current one of torch or CuPy) and not waited for; with every output given, `out=`
and `partials=`, a call allocates nothing, so that it can be captured in a graph. NaN is not checked.
Raises ValueError naming an argument of wrong dtype, shape, device or layout, TypeError for what is no array,
EngineError where the device cannot be used. Twins in numpy: `maescan.kernels.reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Literal

from maescan import _kernels  # type: ignore[attr-defined]
from maescan.errors import ConfigError, EngineError
from maescan.kernels.arrays import (
    Array,
    beside,
    bits,
    empty,
    host_ids,
    on_cuda,
    on_stream,
    passes_of,
    shape_of,
    taps_beside,
    tokens_of,
    torch_on,
)
from maescan.kernels.reference import Differences
from maescan.kernels.taps import Taps, resample_taps
from maescan.machine import available_cores

__all__ = [
    "Differences",
    "Taps",
    "average_difference",
    "extract_slices",
    "has_cuda",
    "make_masks",
    "patchify",
    "patchify_visible",
    "pseudo_abnormal",
    "require_cuda",
    "resample_taps",
    "set_threads",
    "ssim",
    "threads",
]

_threads: int | None = None
WITH_CUDA = "MAESCAN_CUDA=ON pip install ."
"""In maescan's sources, beside CUDA's nvcc: builds the kernels for GPUs, too, which wheels do not hold."""


def has_cuda() -> bool:
    """Whether the extension was built with the kernels for GPUs."""
    return bool(_kernels.has_cuda)


def require_cuda() -> None:
    """Raises EngineError where the extension has no kernels for GPUs."""
    if not has_cuda():
        remedy = f"in maescan's sources, beside CUDA's nvcc: {WITH_CUDA}"
        raise EngineError("this maescan was built without its kernels for GPUs", remedy=remedy)


def set_threads(count: int | None) -> None:
    """CPU threads of every later call; None: the cores that this process may use. Results do not depend on it."""
    global _threads
    if count is not None and not (isinstance(count, int) and 1 <= count < 2**31):
        raise ConfigError(f"cannot run on {count} threads", remedy="use 1 or more")
    _threads = count


def threads() -> int:
    """CPU threads that a call uses."""
    return _threads or available_cores()


def make_masks(
    slice_ids: Array | Sequence[int],
    *,
    seed: int,
    passes: int,
    tokens: int,
    keep: int,
    strategy: Literal["random", "complementary"] = "random",
    device: str = "cpu",
    out: tuple[Any, ...] | None = None,
    stream: int | None = None,
) -> tuple[Any, ...]:
    """Masks of slices [B] (uint64 or int64 ids): keep_ids [B*R, K] and restore_ids [B*R, T], int32.

    Ids are local, 0..T-1. With shuffle = argsort(noise), keep = shuffle[:K] and restore = argsort(shuffle), as He et
    al.; a token is visible iff restore < K. Noise is Philox4x32-10 of (seed, slice, pass, token): the same numbers on
    every device and in every batch. `complementary`: pass r sees shuffle[r*K:(r+1)*K] of one permutation a slice.
    `out` takes the two, or a third beside them, which is returned too: hidden_ids [B*R, T-K], shuffle[K:].
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
    ids = host_ids(slice_ids)
    (count,) = shape_of(ids, "slice_ids", 1)
    like = torch_on(device) if device != "cpu" and not on_cuda(ids) else ids
    with on_stream(like, stream) as where:
        ids, sizes = beside(like, ids), ((count * passes, keep), (count * passes, tokens))
        made = out or tuple(empty(like, size, "int32") for size in sizes)
        turned = strategy == "complementary"
        arrays = dict(zip_longest(("keep_ids", "restore_ids", "hidden_ids"), made))
        _run("make_masks", ids, **arrays, seed=seed, passes=passes, complementary=turned, stream=where)
    return made


def patchify_visible(
    slices: Array,
    keep_ids: Array,
    token_ids: Array | None = None,
    *,
    patch: int,
    dtype: str = "float32",
    out: Array | None = None,
    stream: int | None = None,
) -> Any:
    """Visible patches [B*R, K, P*P] of slices [B, H, W] float32 (any strides) for keep_ids [B*R, K].

    `dtype`: float32, float16 or bfloat16, rounded to nearest even. Hidden patches are not read.
    """
    (count, *_), (rows, keep) = shape_of(slices, "slices", 3), shape_of(keep_ids, "keep_ids", 2)
    sizes = {"passes": passes_of(rows, count, "keep_ids"), "side": patch}
    with on_stream(slices, stream) as where:
        out = empty(slices, (rows, keep, patch * patch), dtype) if out is None else out
        _run("patchify", slices, keep_ids=keep_ids, token_ids=token_ids, patches=out, **sizes, stream=where)
    return out


def patchify(
    slices: Array,
    token_ids: Array | None = None,
    *,
    patch: int,
    dtype: str = "float32",
    out: Array | None = None,
    stream: int | None = None,
) -> Any:
    """All tokens' patches [B, T, P*P] of slices [B, H, W] float32 (any strides)."""
    count, tokens = tokens_of(slices, token_ids, patch)
    with on_stream(slices, stream) as where:
        out = empty(slices, (count, tokens, patch * patch), dtype) if out is None else out
        sizes = {"passes": 1, "side": patch}
        _run("patchify", slices, keep_ids=None, token_ids=token_ids, patches=out, **sizes, stream=where)
    return out


def average_difference(
    slices: Array,
    predictions: Array,
    restore_ids: Array,
    *,
    keep: int,
    patch: int,
    token_ids: Array | None = None,
    reconstruction: bool = False,
    squared: bool = False,
    tokens: bool = False,
    errors: bool = False,
    out: Array | Differences | None = None,
    partials: Array | None = None,
    stream: int | None = None,
) -> Differences:
    """|X - mean over the passes of X with the hidden patches predicted| (paper, sections 3.2 and 3.4), in one pass.

    slices X [B, H, W] float32 (any strides), predictions [B*R, T, P*P] float32, float16 or bfloat16 (or
    [B*R, T-keep, P*P] of the hidden tokens alone, in the order of `make_masks`' hidden_ids), restore_ids [B*R, T].
    difference [B, 1, H, W]; on wish the mean reconstruction [B, H, W], the squared difference [B, 1, H, W],
    the difference as tokens [B, T, P*P], and mse and mae [B] over all pixels of a slice. A visible patch, or one
    outside the token set, differs by exactly zero; its predictions are not read. `out` takes the difference, or is a
    `Differences` whose arrays are filled beside what is asked for; `partials` [B, L, 2] is what errors are summed in.
    """
    count, height, width = shape_of(slices, "slices", 3)
    rows, _, _ = shape_of(predictions, "predictions", 3)
    cells, size = tokens_of(slices, None, patch)[1], (count, tokens_of(slices, token_ids, patch)[1], patch * patch)
    wanted: dict[str, tuple[int, ...]] = {"difference": (count, 1, height, width)}
    wanted |= {"reconstruction": (count, height, width)} if reconstruction else {}
    wanted |= {"squared": (count, 1, height, width)} if squared else {}
    wanted |= {"tokens": size} if tokens else {}
    wanted |= {"mse": (count,), "mae": (count,)} if errors else {}
    sizes = {"passes": passes_of(rows, count, "predictions"), "keep": keep, "side": patch}
    given = out if isinstance(out, Differences) else Differences(out)
    with on_stream(slices, stream) as where:
        missing = {name: shape for name, shape in wanted.items() if getattr(given, name) is None}
        made = replace(given, **{name: empty(slices, shape, "float32") for name, shape in missing.items()})
        if partials is None and made.mse is not None:
            partials = empty(slices, (count, cells, 2), "float32")
        outputs = {name: getattr(made, name) for name in ("difference", "reconstruction", "squared", "mse", "mae")}
        outputs |= {"by_token": made.tokens, "partials": None if made.mse is None else partials}
        inputs = {"predictions": bits(predictions), "restore_ids": restore_ids, "token_ids": token_ids}
        _run("average_difference", slices, **inputs, **sizes, **outputs, stream=where)
    return made


def pseudo_abnormal(
    reconstructions: Array, boxes: Array, factors: Array, *, out: Array | None = None, stream: int | None = None
) -> Any:
    """Altered copies [B, H, W] of reconstructions [B, H, W] float32 (paper, section 3.3): boxes times factors.

    boxes [B, Kmax, 4] int32 (top, left, height, width; height 0: unused) are clipped to the slice. factors [B, Kmax]:
    one per box, overlapping boxes multiply; [B, H, W]: one per pixel, once where any box covers.
    """
    shape = shape_of(reconstructions, "reconstructions", 3)
    with on_stream(reconstructions, stream) as where:
        out = empty(reconstructions, shape, "float32") if out is None else out
        _run("pseudo_abnormal", reconstructions, boxes=boxes, factors=factors, altered=out, stream=where)
    return out


def ssim(
    slices: Array,
    reconstructions: Array,
    *,
    data_range: float = 2.0,
    out: Array | None = None,
    partials: Array | None = None,
    stream: int | None = None,
) -> Any:
    """SSIM [B] float32 of slices and reconstructions [B, H, W] float32 (any strides, sides of 7 or more).

    As `skimage.metrics.structural_similarity` at its defaults, within 1e-5 (sums are float64 here,
    kept in `partials` [B, H - 6]).
    """
    count, height, _ = shape_of(slices, "slices", 3)
    with on_stream(slices, stream) as where:
        out = empty(slices, (count,), "float32") if out is None else out
        partials = empty(slices, (count, max(height - 6, 0)), "float64") if partials is None else partials
        outputs = {"partials": partials, "ssim": out}
        _run("ssim", slices, reconstructions=reconstructions, data_range=data_range, **outputs, stream=where)
    return out


def extract_slices(
    volume: Array,
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
    out: Array | None = None,
    stream: int | None = None,
) -> Any:
    """Slices [S, H, W] on the model's grid of a volume [S, H0, W0] (int16, uint16, uint8, float32; any strides).

    A voxel becomes 0 where it equals `background`, else clamp(voxel * scale + offset, low, high); then rows and cols
    resample (see `resample_taps`; their arrays may be on the device already), and the result is clamped to
    (min(low, 0), high): with low > 0 tissue stays over air. What is then less than `ripple` is 0 (0: all stays), and
    `floor` is added. No intermediate volume is made.
    """
    count, height, width = shape_of(volume, "volume", 3)
    if (rows.n_in, cols.n_in) != (height, width):
        raise ValueError(f"volume must have slices of {rows.n_in} x {cols.n_in} voxels, not {height} x {width}")
    shape = (count, len(rows.index), len(cols.index))
    values = {"scale": scale, "offset": offset, "background": background, "low": low, "high": high}
    values |= {"ripple": ripple, "floor": floor}
    with on_stream(volume, stream) as where:
        out = empty(volume, shape, dtype) if out is None else out
        names = ("row_index", "row_weights", "column_index", "column_weights")
        taps = dict(zip(names, (*taps_beside(volume, rows), *taps_beside(volume, cols)), strict=True))
        _run("extract_slices", volume, **taps, **values, slices=out, stream=where)
    return out


def _run(name: str, first: Array, **arguments: Any) -> None:
    try:
        getattr(_kernels, name)(first, threads=threads(), **arguments)
    except RuntimeError as error:
        raise EngineError(f"{name} cannot run: {error}") from error
