"""A stand-in for CUDA's runtime, so that a GPU's path runs without one: host memory, streams whose work waits until
somebody waits for it and then runs in a random order, graphs that are replayed. `lost`: every call fails.

What CUDA forbids is an error here: memory of another kind or device, work on the default stream, calls that a capture
does not allow, a thread on another device. Everything is counted, and the n-th call can be made to fail.
"""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, TypeGuard

import numpy as np

from maescan.engines.cuda import CODES, DeviceArray

Answer = tuple[object, ...]


class Code(int):
    """An error code with a name, as cuda.bindings has them."""

    name = "cudaErrorStandIn"


OK, FULL, FAILED, CAPTURING, INVALIDATED = Code(0), Code(2), Code(719), Code(900), Code(901)


class Cuda:
    """The calls of cuda.bindings.runtime that maescan makes. Work waits in its stream until somebody waits for it."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaStreamNonBlocking = 1
    kernels: Kernels

    def __init__(self, seed: int = 0, devices: int = 2, memory: int = 8 << 30) -> None:
        self.memory: dict[int, tuple[int, str, int, np.ndarray]] = {}
        self.streams: dict[int, list[Callable[[], object]]] = {}
        self.graphs: dict[int, list[Callable[[], object]]] = {}
        self.device_of: dict[int, int] = {}
        self.capturing: tuple[int, list[Callable[[], object]]] | None = None
        self.broken = self.lost = False
        self.next, self.devices, self.total, self.fail_at, self.calls = 100, devices, memory, 0, 0
        self.random, self.here = random.Random(seed), threading.local()
        self.up = self.down = self.launches = self.steps = 0

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if not name.startswith("cuda") or not callable(found):
            return found

        def call(*arguments: object) -> object:
            self.calls += 1
            if self.lost:
                return FAILED, None
            if self.calls != self.fail_at:
                return found(*arguments)
            if name == "cudaStreamEndCapture":
                self.capturing = None
            elif "Free" in name or "Destroy" in name:  # they report what failed before, and do their work
                found(*arguments)
            return FAILED, None

        return call

    @property
    def device(self) -> int:
        return getattr(self.here, "device", 0)

    def left(self) -> tuple[int, int, int, bool]:
        """What was not given back: memory, streams, graphs, a capture."""
        return len(self.memory), len(self.streams), len(self.graphs), self.capturing is not None

    def cudaSetDevice(self, number: int) -> Answer:
        self.here.device = number
        return (OK,) if 0 <= number < self.devices else (FAILED,)

    def cudaMemGetInfo(self) -> Answer:
        return OK, self._free_bytes(), self.total

    def _free_bytes(self) -> int:
        return self.total - sum(size for size, kind, _, _ in self.memory.values() if kind == "device")

    def _id(self) -> int:
        self.next += 1
        self.device_of[self.next] = self.device
        return self.next

    def _forbidden(self) -> bool:
        """A capture does not survive some calls."""
        if self.capturing is not None:
            self.broken = True
        return self.broken

    def _take(self, size: int, kind: str) -> Answer:
        if self._forbidden():
            return CAPTURING, None
        if kind == "device" and size > self._free_bytes():
            return FULL, None
        raw = np.full(size + 256, 0xA5, np.uint8)
        base = -(-raw.ctypes.data // 256) * 256
        self.memory[base] = (size, kind, self.device, raw)
        return OK, base

    def _free(self, pointer: int, kind: str) -> Answer:
        _, found, device, raw = self.memory.pop(int(pointer))
        assert found == kind, "freed as another kind"
        assert device == self.device or kind == "pinned", "freed on another device"
        for stream in list(self.streams):
            self._drain(stream)  # cudaFree waits for the device
        raw[:] = 0x5A
        return (OK,)

    def cudaMalloc(self, size: int) -> Answer:
        return self._take(size, "device")

    def cudaMallocHost(self, size: int) -> Answer:
        return self._take(size, "pinned")

    def cudaFree(self, pointer: int) -> Answer:
        return self._free(pointer, "device")

    def cudaFreeHost(self, pointer: int) -> Answer:
        return self._free(pointer, "pinned")

    def owner(self, pointer: int, size: int) -> tuple[str, int]:
        """(kind, device) of the memory that holds all of these bytes."""
        for base, (length, kind, device, _) in self.memory.items():
            if base <= pointer and pointer + size <= base + length:
                return kind, device
        return "pageable", -1

    def cudaStreamCreateWithFlags(self, flags: int) -> Answer:
        assert flags == self.cudaStreamNonBlocking, "a blocking stream waits for the default one"
        stream = self._id()
        self.streams[stream] = []
        return OK, stream

    def cudaStreamDestroy(self, stream: int) -> Answer:
        assert self.capturing is None or self.capturing[0] != stream, "destroyed in the middle of a capture"
        self._drain(int(stream))
        del self.streams[int(stream)]
        return (OK,)

    def enqueue(self, stream: int, work: Callable[[], object]) -> None:
        assert int(stream) in self.streams, "work on the default stream, or on none"
        assert self.device_of[int(stream)] == self.device, "this thread is on another device than the stream"
        if self.capturing is not None and self.capturing[0] == int(stream):
            self.capturing[1].append(work)
        else:
            self.streams[int(stream)].append(work)

    def _step(self) -> bool:
        """One piece of work of a stream picked at random."""
        ready = [stream for stream, queue in self.streams.items() if queue]
        if ready:
            self.steps += 1
            self.streams[self.random.choice(ready)].pop(0)()
        return bool(ready)

    def _drain(self, stream: int) -> None:
        while self.streams[stream]:
            self._step()

    def cudaStreamSynchronize(self, stream: int) -> Answer:
        if self._forbidden():
            return (CAPTURING,)
        self._drain(int(stream))
        return (OK,)

    def cudaDeviceSynchronize(self) -> Answer:
        if self._forbidden():
            return (CAPTURING,)
        for stream in list(self.streams):
            self._drain(stream)
        return (OK,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> Answer:
        wanted = ("device", "pinned") if kind == 1 else ("pinned", "device")
        assert (self.owner(to, size)[0], self.owner(source, size)[0]) == wanted, "copied to or from the wrong memory"

        def copy() -> None:
            ctypes.memmove(to, source, size)
            if kind == 1:
                self.up += size
            else:
                self.down += size

        self.enqueue(stream, copy)
        return (OK,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> Answer:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        assert self.capturing is None and not self.streams[int(stream)], "work is left in the stream"
        self.capturing, self.broken = (int(stream), []), False
        return (OK,)

    def cudaStreamEndCapture(self, stream: int) -> Answer:
        assert self.capturing is not None and self.capturing[0] == int(stream)
        (_, work), self.capturing = self.capturing, None
        if self.broken:
            self.broken = False
            return INVALIDATED, None
        graph = self._id()
        self.graphs[graph] = work
        return OK, graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Answer:
        instance = self._id()
        self.graphs[instance] = list(self.graphs[int(graph)])
        return OK, instance

    def cudaGraphDestroy(self, graph: int) -> Answer:
        del self.graphs[int(graph)]
        return (OK,)

    def cudaGraphExecDestroy(self, graph: int) -> Answer:
        return self.cudaGraphDestroy(graph)

    def cudaGraphLaunch(self, graph: int, stream: int) -> Answer:
        self.launches += 1
        for work in self.graphs[int(graph)]:
            self.enqueue(stream, work)
        return (OK,)


class Kernels:
    """The extension with device arrays: a call is put into its stream, and runs on the CPU's loops."""

    has_cuda = True

    def __init__(self, real: ModuleType, cuda: Cuda) -> None:
        self.real, self.cuda, self.called = real, cuda, 0

    def __getattr__(self, name: str) -> object:
        call = getattr(self.real, name)
        if not callable(call):
            return call

        def later(*given: object, **named: Any) -> object:
            arrays = [a for a in (*given, *named.values()) if on_device(a)]
            if not arrays:
                return call(*given, **named)
            for array in arrays:
                assert self.cuda.owner(array.pointer, array.nbytes) == ("device", array.device), f"{name}: no memory"
                assert array.device == self.cuda.device, f"{name}: this thread is on another device"
                assert array.pointer % (CODES[array.dtype][1] // 8) == 0, f"{name}: a misaligned address"
            stream, self.called = named.pop("stream"), self.called + 1
            host = {name: seen(value) for name, value in named.items()}
            self.cuda.enqueue(stream, lambda: call(*map(seen, given), stream=0, **host))
            return None

        return later


def on_device(value: object) -> TypeGuard[DeviceArray]:
    """Whether it is a DeviceArray, of the package or of a copy of it with a planted fault."""
    return type(value).__name__ == "DeviceArray"


def seen(value: Any) -> Any:
    """A device array as numpy; anything else as it is."""
    if not on_device(value):
        return value
    raw = (ctypes.c_uint8 * value.nbytes).from_address(value.pointer)
    dtype = {"bfloat16": "uint16"}.get(value.dtype, value.dtype)
    return np.frombuffer(memoryview(raw), dtype).reshape(value.shape)
