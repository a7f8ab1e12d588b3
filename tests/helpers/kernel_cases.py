"""Sample inputs of the kernels, and the comparison of a kernel with its numpy twin on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from maescan import kernels
from maescan.kernels import Differences, reference

DTYPES = ["float32", "float16", "bfloat16"]


def slices(b: int, h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 0.5, (b, h, w)).astype(np.float32)


def predictions(rows: int, tokens: int, patch: int, dtype: str) -> np.ndarray:
    values = np.random.default_rng(1).normal(1, 0.5, (rows, tokens, patch * patch)).astype(np.float32)
    return reference._rounded(values, dtype)


def token_ids(b: int, cells: int, tokens: int) -> np.ndarray:
    """Distinct cells, in no order."""
    return (
        np.random.default_rng(2)
        .permuted(np.tile(np.arange(cells, dtype=np.int32), (b, 1)), axis=1)[:, :tokens]
        .copy()
    )


def masks(b: int, passes: int, tokens: int, keep: int) -> tuple[np.ndarray, np.ndarray]:
    return reference.make_masks(np.arange(b), seed=1, passes=passes, tokens=tokens, keep=keep)


def strided(array: np.ndarray) -> np.ndarray:
    """The same values with gaps, a reversed axis and the axes in storage order z, x, y."""
    wide = np.zeros([2 * n for n in array.shape], array.dtype).transpose(0, 2, 1).copy().transpose(0, 2, 1)
    view = wide[::2, ::-2, ::2]
    view[...] = array
    return view


def to_device(value: Any, device: str) -> Any:
    """numpy as it is on the CPU, torch on CUDA."""
    if device != "cuda" or not isinstance(value, np.ndarray):
        return value
    import torch

    moved = torch.from_numpy(np.ascontiguousarray(value).view(_SIGNED.get(value.dtype, value.dtype))).cuda()
    return moved.view(torch.bfloat16) if value.dtype == np.uint16 and value.ndim == 3 else moved


_SIGNED = {np.dtype(np.uint64): np.dtype(np.int64), np.dtype(np.uint16): np.dtype(np.int16)}


def to_numpy(value: Any) -> Any:
    if value is None or isinstance(value, np.ndarray):
        return value
    import torch

    return (
        (value.view(torch.int16).cpu().numpy().view(np.uint16))
        if value.dtype == torch.bfloat16
        else value.cpu().numpy()
    )


def agree(device: str, name: str, *arguments: Any, tolerance: float = 0, **options: Any) -> None:
    """Asserts that kernel and twin agree: to the bit unless a tolerance is given."""
    here = [to_device(value, device) for value in arguments]
    there = {key: to_device(value, device) for key, value in options.items()}
    if name == "make_masks":
        there["device"] = "cuda" if device == "cuda" else "cpu"
    found = getattr(kernels, name)(*here, **there)
    wanted = getattr(reference, name)(*arguments, **options)
    for a, b in zip(_parts(found), _parts(wanted), strict=True):
        same(to_numpy(a), b, tolerance)


def same(found: Any, wanted: Any, tolerance: float = 0) -> None:
    if wanted is None or found is None:
        assert found is wanted
        return
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if tolerance:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(found, wanted)


def _parts(result: Any) -> list[Any]:
    if isinstance(result, Differences):
        return [getattr(result, field) for field in Differences.__dataclass_fields__]
    return list(result) if isinstance(result, tuple) else [result]
