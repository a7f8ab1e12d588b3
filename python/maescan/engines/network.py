"""One network of a bundle in TensorRT: its plan, its contexts, and the kernels that TensorRT-RTX compiles."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maescan.engines.cuda import FULL, OLD, DeviceArray
from maescan.engines.plans import logger
from maescan.errors import DataError, EngineError

SPECIALISE = "EAGER"
"""When TensorRT-RTX compiles kernels for a shape: at its first run, since a graph keeps those that it was captured
with. LAZY: in the background, to measure what that costs."""

DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT32": "int32", "INT64": "int64"}


class Network:
    """A deserialised plan. trt: the module; inputs, outputs: names in the model's order; dtypes: of every port.

    Raises EngineError with TensorRT's words where this GPU or release cannot take the plan.
    """

    def __init__(self, trt: Any, content: bytes, path: Path, compiled: Path) -> None:
        self.trt = trt
        log, self.messages = logger(trt)
        self.messages.clear()
        self.runtime = trt.Runtime(log)
        self.engine = self.runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            why = self._why(content)
            full = re.search(r"insufficient gpu memory|out ?of ?memory", why, re.IGNORECASE)
            remedy = FULL if full else OLD if "old cuda driver" in why else None
            raise EngineError(f"is no plan for this GPU and TensorRT: {why}", path=path, remedy=remedy)
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        given = {name: self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs, self.outputs = [n for n in names if given[n]], [n for n in names if not given[n]]
        self.dtypes = {name: DTYPES[self.engine.get_tensor_dtype(name).name] for name in names}
        self.kernels = KernelCache(trt, self.engine, compiled)

    def _why(self, content: bytes) -> str:
        """The runtime's verdict in words, with the first thing that it complained of."""
        said, flags = self.messages.last(), getattr(self.trt, "EngineInvalidityDiagnostics", None)
        if flags is None or not hasattr(self.runtime, "get_engine_validity"):
            return said
        _, found = self.runtime.get_engine_validity(content)
        words = [n.lower().replace("_", " ") for n, flag in flags.__members__.items() if int(flag) & int(found)]
        return ", ".join([*words, said])

    def bind(self, arrays: list[DeviceArray]) -> tuple[Any, dict[str, tuple[int, ...]]]:
        """A context that reads these arrays, in the order of the inputs, and the shapes of its outputs.

        Its scratch memory is not set yet. Raises EngineError naming the input that it does not take.
        """
        self.messages.clear()
        context = self.kernels.context()
        for name, array in zip(self.inputs, arrays, strict=True):
            if array.dtype != self.dtypes[name]:
                raise EngineError(f"its input {name} is {self.dtypes[name]}, not {array.dtype}")
            if not context.set_input_shape(name, array.shape):
                raise EngineError(f"its input {name} cannot be {list(array.shape)}: {self.messages.last()}")
            self.point(context, name, array)
        try:
            missing = context.infer_shapes()
        except RuntimeError as error:  # of its bindings: sizes that do not fit together
            raise EngineError(f"its inputs do not fit together: {error}; {self.messages.last()}") from error
        if missing:
            raise EngineError(f"its inputs {', '.join(missing)} lack a shape", remedy="export it anew")
        return context, {name: tuple(map(int, context.get_tensor_shape(name))) for name in self.outputs}

    def point(self, context: Any, name: str, array: DeviceArray) -> None:
        """Gives a port its memory. Raises EngineError where TensorRT does not take it."""
        if not context.set_tensor_address(name, array.pointer):
            raise EngineError(f"TensorRT does not take the memory of {name}: {self.messages.last()}")

    def scratch(self, shapes: dict[str, tuple[int, ...]]) -> int:
        """Bytes of working memory that a context of these input shapes needs."""
        context = self.kernels.context()
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"its input {name} cannot be {list(shape)}: {self.messages.last()}")
        return int(context.update_device_memory_size_for_shapes())

    def lend(self, context: Any, pointer: int, size: int, more: Callable[[int], int]) -> None:
        """Gives a context its scratch memory, or that of `more(bytes)` where its shapes want more than that."""
        needed = int(context.update_device_memory_size_for_shapes())
        context.set_device_memory(*((pointer, size) if needed <= size else (more(needed), needed)))

    def run(self, context: Any, stream: int) -> None:
        """Enqueues the network. Raises EngineError with TensorRT's words where it does not."""
        self.messages.clear()
        if not context.execute_async_v3(stream):
            raise EngineError(f"TensorRT could not run the batch: {self.messages.last()}")

    def close(self) -> None:
        """Keeps the compiled kernels for the next start, and lets the plan go: last what the others are made of."""
        self.kernels.close()
        self.engine = None
        self.runtime = None


class KernelCache:
    """Contexts that share the kernels which TensorRT-RTX compiled for this GPU, kept in the user's cache; plain
    contexts where TensorRT compiled all when it built. No context has scratch memory of its own."""

    def __init__(self, trt: Any, engine: Any, file: Path) -> None:
        self.engine, self.file, self.config, self.kernels, self.saved = engine, file, None, None, 0
        self.strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(engine, "create_runtime_config"):
            return
        self.config = engine.create_runtime_config()
        self.config.set_execution_context_allocation_strategy(self.strategy)
        if hasattr(trt, "CudaGraphStrategy"):  # a place captures the whole path itself
            self.config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
        strategy = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategy is not None:
            self.config.dynamic_shapes_kernel_specialization_strategy = getattr(strategy, SPECIALISE)
        if hasattr(trt, "IRuntimeCache"):
            self.kernels = self.config.create_runtime_cache()
            with contextlib.suppress(OSError):
                before = file.read_bytes()
                self.saved = len(before) if self.kernels.deserialize(before) else 0  # another driver's are no use
            self.config.set_runtime_cache(self.kernels)

    def context(self) -> Any:
        """A new context. Raises EngineError where TensorRT makes none."""
        context = self.engine.create_execution_context(self.strategy if self.config is None else self.config)
        if context is None:
            raise EngineError("TensorRT could not make a context", remedy="free memory of the GPU")
        return context

    def save(self) -> None:
        """Writes the kernels where there are more than were read: shapes come one by one."""
        from maescan.files import atomic_file

        content = bytes((self.kernels and self.kernels.serialize()) or b"")
        if len(content) > self.saved:
            with contextlib.suppress(DataError), atomic_file(self.file) as temporary:
                temporary.write_bytes(content)
                self.saved = len(content)

    def close(self) -> None:
        """Saves, and lets go of the cache, the configuration and the engine, in this order."""
        self.save()
        self.kernels = None
        self.config = None
        self.engine = None
