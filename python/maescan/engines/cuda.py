"""CUDA's runtime as the engines use it: every answer is checked, every thread is on its device, and what was taken is
given back whatever fails."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.errors import DeviceLostError, EngineError

ALIGNMENT = 256
"""Bytes: what TensorRT asks of addresses."""

CODES = {"float32": (2, 32), "float64": (2, 64), "float16": (2, 16), "bfloat16": (4, 16), "int32": (0, 32),
         "int64": (0, 64), "uint64": (1, 64), "int16": (0, 16), "uint16": (1, 16), "uint8": (1, 8)}  # fmt: skip
"""DLPack's type code and bits."""

FULL = "end other programs on the GPU, or choose another with --device cuda:N"
OLD = "update NVIDIA's driver to 580 or newer"
TAKEN = "end the program that has the GPU to itself, or choose another with --device cuda:N"
REMEDIES = {2: FULL, 35: OLD, 46: TAKEN}
"""By number of an error: memory allocation, insufficient driver, devices unavailable."""

AGAIN = "start the command again, as a new process; if it happens again, see nvidia-smi and `journalctl -k`"
"""After a fault CUDA refuses every call of the process."""


class Device:
    """One GPU, through cuda.bindings.runtime (or what stands for it)."""

    def __init__(self, runtime: Any, number: int) -> None:
        self.runtime, self.number = runtime, number

    def use(self) -> None:
        """Makes it the calling thread's GPU: CUDA keeps that a thread, and a new thread is on the first one."""
        self("cudaSetDevice", self.number)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """What a call returned beside its error code. Raises EngineError naming the call and the error."""
        code, *values = getattr(self.runtime, name)(*arguments)
        if int(code) != 0:
            reason = f"CUDA: {name}: {getattr(code, 'name', code)}"
            raise EngineError(reason, remedy=REMEDIES.get(int(code), "see `maescan doctor` and nvidia-smi"))
        return values[0] if values else None

    def check(self) -> None:
        """After an error. Raises DeviceLostError where CUDA takes no more calls of this process."""
        try:
            self("cudaDeviceSynchronize")
        except EngineError as error:
            raise DeviceLostError(f"the GPU is lost: {error.reason}", remedy=AGAIN) from error

    def free_bytes(self) -> int:
        """Memory that is free on the GPU."""
        return int(self("cudaMemGetInfo"))

    def take(self, stack: ExitStack, size: int, *, pinned: bool = False) -> int:
        """The address of `size` bytes on the GPU, or of pinned host memory, until the stack closes."""
        taken, given = ("cudaMallocHost", "cudaFreeHost") if pinned else ("cudaMalloc", "cudaFree")
        pointer = int(self(taken, max(size, ALIGNMENT)))
        stack.callback(self, given, pointer)
        return pointer

    def stream(self, stack: ExitStack) -> int:
        """A stream that does not wait for the default one, until the stack closes."""
        stream = int(self("cudaStreamCreateWithFlags", self.runtime.cudaStreamNonBlocking))
        stack.callback(self, "cudaStreamDestroy", stream)
        return stream

    def copy(self, to: int, source: int, size: int, stream: int, *, up: bool) -> None:
        """Enqueues a copy from pinned memory up to the GPU, or down."""
        kinds = self.runtime.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if up else kinds.cudaMemcpyDeviceToHost
        self("cudaMemcpyAsync", to, source, size, kind, stream)

    def capture(self, stack: ExitStack, stream: int, work: Callable[[], object]) -> Any:
        """The graph of what `work` enqueues on the stream, until the stack closes. Whatever `work` raises, the stream
        is left able to run."""
        mode = self.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            with contextlib.suppress(EngineError):  # an invalidated capture ends with an error, and is over
                graph = self("cudaStreamEndCapture", stream)
                if graph:
                    self("cudaGraphDestroy", graph)
            raise
        graph = self("cudaStreamEndCapture", stream)
        try:
            instance = self("cudaGraphInstantiate", graph, 0)
            stack.callback(self, "cudaGraphExecDestroy", instance)
        finally:
            self("cudaGraphDestroy", graph)
        return instance


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("rank", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4), ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    )  # fmt: skip


class DeviceArray:
    """A contiguous array in a GPU's memory, for the kernels to take by DLPack. It owns nothing: its place does."""

    def __init__(self, pointer: int, shape: tuple[int, ...], dtype: str, device: int) -> None:
        self.pointer, self.shape, self.dtype, self.device = pointer, shape, dtype, device
        code, bits = CODES[dtype]
        self.nbytes = bytes_of(shape, dtype)
        self._sizes = (ctypes.c_int64 * len(shape))(*shape)
        type_ = (ctypes.c_uint8 * 4)(code, bits, 1, 0)
        self._tensor = _DLTensor(pointer, (2, device), len(shape), type_, self._sizes)

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, *shape: int) -> DeviceArray:
        """The same memory in another shape."""
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"cannot see {self.shape} as {shape}")
        return DeviceArray(self.pointer, shape, self.dtype, self.device)

    def part(self, low: int, high: int) -> DeviceArray:
        """Rows low to high of the same memory."""
        step = self.nbytes // self.shape[0]
        return DeviceArray(self.pointer + low * step, (high - low, *self.shape[1:]), self.dtype, self.device)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device

    def __dlpack__(self, **_: Any) -> Any:
        """A capsule over this object's own description, which must outlive it: kernels drop it when they return."""
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return make(ctypes.byref(self._tensor), b"dltensor", None)


class Arena:
    """Consecutive arrays of one stretch of memory, by name: the same name is the same array."""

    def __init__(self, pointer: int, size: int) -> None:
        self.pointer, self.size, self.used = pointer, size, 0

    def take(self, size: int) -> int:
        """The address of `size` bytes. Raises EngineError where the arena is full."""
        at = self.pointer + self.used
        self.used += padded(size)
        if self.used > self.size:
            raise EngineError(f"a batch needs {self.used:,} bytes of a place of {self.size:,}", remedy="report this")
        return at


def host_array(pointer: int, shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
    """numpy over pinned memory; bfloat16 as its bits."""
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * bytes_of(shape, dtype)).from_address(pointer))
    found: NDArray[np.generic] = raw.view("uint16" if dtype == "bfloat16" else dtype).reshape(shape)
    return found


def bytes_of(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of an array."""
    return math.prod(shape) * CODES[dtype][1] // 8


def padded(size: int) -> int:
    """A size up to the next multiple of ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT
