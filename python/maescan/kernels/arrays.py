"""Arrays of numpy, torch, CuPy or a caller's own kind: where they are, new ones beside them, and their stream."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from maescan.errors import EngineError, require
from maescan.kernels.taps import Taps


class Array(Protocol):
    """What a kernel takes: numpy's, torch's, CuPy's or another's array, with a shape and DLPack."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...

    def __dlpack__(self) -> object:
        """Its memory, as others read it."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Its device's kind and number."""
        ...


def on_cuda(array: Array) -> bool:
    """Whether an array is in a GPU's memory."""
    return not isinstance(array, np.ndarray) and array.__dlpack_device__()[0] in (2, 13)


def library_of(array: object) -> ModuleType:
    """numpy, torch, cupy, or the module that an array of another kind comes from."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def is_torch(array: object) -> bool:
    """Whether an array is torch's."""
    return library_of(array).__name__ == "torch"


@contextmanager
def on_stream(like: Any, stream: int | None) -> Iterator[int]:
    """The stream that a call on arrays like this one is enqueued on; None: their library's current one.

    Inside, what torch or CuPy allocate, copy and free belongs to that stream: memory that a kernel on a stream of
    the caller's still works on is not handed out again. torch's current GPU is the array's there, for it exports
    no array of another one.
    """
    library = library_of(like)
    if not on_cuda(like) or not hasattr(library, "cuda"):
        yield stream or 0
    elif is_torch(like) and stream is None:
        with library.cuda.device(like.device):
            yield library.cuda.current_stream(like.device).cuda_stream
    elif stream is None:
        yield _cupy_stream(library)
    elif is_torch(like):
        cuda, device = library.cuda, like.device
        foreign = cuda.ExternalStream(stream, device) if stream else cuda.default_stream(device)
        with cuda.stream(foreign):
            yield stream
    else:
        with library.cuda.ExternalStream(stream):
            yield stream


def _cupy_stream(library: ModuleType) -> int:
    return int(library.cuda.get_current_stream().ptr)


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An array of `like`'s kind and device. numpy has no bfloat16: uint16."""
    if is_torch(like):
        torch = library_of(like)
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    dtype = {"bfloat16": "uint16"}.get(dtype, dtype)
    if on_cuda(like):
        library = library_of(like)
        if not hasattr(library, "empty"):
            raise TypeError(f"{type(like).__name__} cannot be allocated here: give the call all its outputs")
        return library.empty(shape, dtype)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < 1 << 18:
        return np.empty(shape, dtype)
    raw = np.empty(size + 64, np.uint8)  # numpy aligns to 16 bytes: rows of a patch would straddle two cache lines
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def beside(like: Any, array: Any) -> Any:
    """A host array copied to where `like` is; host memory is read where it lies, and what is there already stays."""
    if not on_cuda(like) or on_cuda(array):
        return array
    library = library_of(like)
    return library.from_numpy(array.copy()).to(like.device) if is_torch(like) else library.asarray(array)


def taps_beside(like: Any, taps: Taps) -> tuple[Any, Any]:
    """index and weights of taps where `like` is."""
    return beside(like, taps.index), beside(like, taps.weights)


def bits(array: Any) -> Any:
    """ml_dtypes.bfloat16 has no DLPack type in numpy: its bits."""
    named = isinstance(array, np.ndarray) and array.dtype.name == "bfloat16"
    return array.view(np.uint16) if named else array


def host_ids(slice_ids: Any) -> Any:
    """Ids of slices as an array; those of numpy as int64 with the same bits, which every library has."""
    if not hasattr(slice_ids, "__dlpack__"):
        ids = list(slice_ids)  # numpy makes floats of none at all, and of a large and a small one
        whole = all(isinstance(number, int | np.integer) for number in ids)
        slice_ids = np.array([int(number) % 2**64 for number in ids], np.uint64) if whole else np.asarray(ids)
    if not isinstance(slice_ids, np.ndarray):
        return slice_ids
    if slice_ids.dtype.kind not in "iu":
        raise ValueError(f"slice_ids must be integers, not {slice_ids.dtype}")
    made: NDArray[np.int64] = np.ascontiguousarray(slice_ids).astype(np.int64)
    return made


def torch_on(device: str) -> Any:
    """An empty torch tensor on a device, for a caller that wants device memory from host ids. Raises EngineError for
    a device that torch has not."""
    torch = require("torch", f"device '{device}'")
    try:
        return torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # torch built for CPUs; another name, no driver
        reason = f"device '{device}' cannot be used: {str(error).splitlines()[0]}"
        raise EngineError(reason, remedy="use cpu, or a device of torch") from error


def shape_of(array: Array, name: str, rank: int) -> tuple[int, ...]:
    """Its shape, of `rank` axes. Raises ValueError or TypeError by the array's name."""
    shape = tuple(getattr(array, "shape", ()))
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"{name} must be an array, not {type(array).__name__}")
    if len(shape) != rank:
        raise ValueError(f"{name} must have {rank} axes, not shape {list(shape)}")
    return shape


def passes_of(rows: int, count: int, name: str) -> int:
    """R of `count` slices that have `rows` rows."""
    if count == 0 or rows == 0 or rows % count:
        if rows == count == 0:
            return 1
        raise ValueError(f"{name} must have a whole number of rows for each of {count} slices, not {rows}")
    return rows // count


def tokens_of(slices: Array, token_ids: Array | None, patch: int) -> tuple[int, int]:
    """B and T."""
    count, height, width = shape_of(slices, "slices", 3)
    if patch < 1:
        raise ValueError(f"patch must be 1 or more, not {patch}")
    whole = (height // patch) * (width // patch)
    return count, whole if token_ids is None else shape_of(token_ids, "token_ids", 2)[1]
