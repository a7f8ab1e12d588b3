"""A place for one batch on the GPU: pinned and device buffers, a stream, and a CUDA graph of copy, run, copy."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.errors import EngineError


class Slot:
    """Buffers of fixed shapes with a captured graph. `start` returns at once, `result` waits.

    cuda: cuda.bindings.runtime; shapes and types: of each input by name, rows first.
    """

    def __init__(
        self, cuda: Any, context: Any, shapes: dict[str, tuple[int, ...]], types: dict[str, Any], output: str
    ) -> None:
        self.cuda, self.context, self.output = cuda, context, output
        self.stream = ok(cuda.cudaStreamCreate())
        self.pinned: list[int] = []
        self.device: dict[str, int] = {}
        self.host: dict[str, NDArray[Any]] = {}
        for name, shape in shapes.items():
            context.set_input_shape(name, shape)
            self._buffer(name, shape, types[name])
        self.inputs = list(shapes)
        missing = context.infer_shapes()
        if missing:
            raise EngineError(f"its inputs {', '.join(missing)} lack a shape", remedy="export it anew")
        self._buffer(output, tuple(context.get_tensor_shape(output)), np.dtype(np.float32))
        self.graph = self._capture()

    def start(self, arrays: list[Any]) -> None:
        """Fills the pinned inputs and launches; rows beyond the arrays' keep what was there."""
        for name, array in zip(self.inputs, arrays, strict=True):
            np.copyto(self.host[name][: len(array)], array, casting="same_kind")
        if self.graph is None:
            self._enqueue()
        else:
            ok(self.cuda.cudaGraphLaunch(self.graph, self.stream))

    def result(self) -> NDArray[np.float32]:
        """Waits; the rows of the last start, in a buffer that the next one writes over."""
        ok(self.cuda.cudaStreamSynchronize(self.stream))
        return self.host[self.output]

    def close(self) -> None:
        if self.graph is not None:
            ok(self.cuda.cudaGraphExecDestroy(self.graph))
        for pointer in self.device.values():
            ok(self.cuda.cudaFree(pointer))
        self.host = {}
        for pointer in self.pinned:
            ok(self.cuda.cudaFreeHost(pointer))
        ok(self.cuda.cudaStreamDestroy(self.stream))
        self.context = None

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer, self.device[name] = int(ok(self.cuda.cudaMallocHost(size))), int(ok(self.cuda.cudaMalloc(size)))
        self.pinned.append(pointer)
        raw = (ctypes.c_uint8 * size).from_address(pointer)
        self.host[name] = np.frombuffer(raw, dtype).reshape(shape)
        self.host[name][...] = 0  # padding rows: token 0 is a place of every grid
        self.context.set_tensor_address(name, self.device[name])

    def _enqueue(self) -> None:
        kinds = self.cuda.cudaMemcpyKind
        for name in self.inputs:
            self._copy(self.device[name], self.host[name], name, kinds.cudaMemcpyHostToDevice)
        if not self.context.execute_async_v3(int(self.stream)):
            raise EngineError("TensorRT could not run the batch", remedy="use a smaller --batch")
        self._copy(self.device[self.output], self.host[self.output], self.output, kinds.cudaMemcpyDeviceToHost)

    def _copy(self, device: int, host: NDArray[Any], name: str, kind: Any) -> None:
        pointers = (device, host.ctypes.data) if name in self.inputs else (host.ctypes.data, device)
        ok(self.cuda.cudaMemcpyAsync(*pointers, host.nbytes, kind, self.stream))

    def _capture(self) -> Any:
        """The graph, after one plain run: TensorRT does work of its own at the first. None where it cannot be."""
        self._enqueue()
        ok(self.cuda.cudaStreamSynchronize(self.stream))
        capturable = getattr(self.context, "is_stream_capturable", None)
        if capturable is not None and not capturable(int(self.stream)):
            return None
        mode = self.cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        ok(self.cuda.cudaStreamBeginCapture(self.stream, mode))
        self._enqueue()
        captured = ok(self.cuda.cudaStreamEndCapture(self.stream))
        graph = ok(self.cuda.cudaGraphInstantiate(captured, 0))
        ok(self.cuda.cudaGraphDestroy(captured))
        return graph


def ok(answer: tuple[Any, ...]) -> Any:
    """What a CUDA call returned beside its error code. Raises EngineError naming the error."""
    code, *values = answer
    if int(code) != 0:
        raise EngineError(f"CUDA: {getattr(code, 'name', code)}", remedy="see `maescan doctor` and nvidia-smi")
    return values[0] if values else None
