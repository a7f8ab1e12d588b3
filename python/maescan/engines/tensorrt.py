"""TensorRT and TensorRT-RTX: the engines of NVIDIA GPUs. Loads no torch.

A call is cut into chunks that two slots take in turn, so that one chunk's copies run beside the other's arithmetic.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.engines.golden import cache_folder
from maescan.engines.slots import Slot, ok
from maescan.errors import EngineError
from maescan.machine import driver_version, gpus

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


class TensorRtEngine:
    """The two models of an engine folder, on a GPU."""

    batch = 32

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Any
    ) -> None:
        from cuda.bindings import runtime as cuda

        self.target, self.precision = values["target"], values["precision"]
        trt = importlib.import_module(MODULES[self.target])
        _check_version(trt, folder, values)
        number = int(device.partition(":")[2] or 0)
        ok(cuda.cudaSetDevice(number))
        self.name, self.version = f"{self.target}-{self.precision}", f"{self.target} {trt.__version__}"
        self.device_name = f"{gpus()[number]}, driver {driver_version()}"
        key = f"{self.device_name}-{self.version}"
        files = {name: folder / f"{name}.engine" for name in ("mae", "classifier")}
        self._networks = {name: Network(trt, cuda, file, key) for name, file in files.items() if file.exists()}

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        return self._networks["mae"].run(visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._networks["classifier"].run(tokens, token_ids)

    def close(self) -> None:
        for network in self._networks.values():
            network.close()
        self._networks = {}


class Network:
    """One compiled model with two slots a batch size. Batches are padded to a power of two and trimmed."""

    def __init__(self, trt: Any, cuda: Any, file: Path, key: str) -> None:
        content = file.read_bytes()
        self.cuda, self.logger = cuda, trt.Logger(trt.Logger.ERROR)
        self.runtime = trt.Runtime(self.logger)
        self.engine = self.runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            remedy = "export this engine anew with the installed TensorRT"
            raise EngineError("is no engine for this GPU and TensorRT", path=file, remedy=remedy)
        ports = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        modes = {name: self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in ports}
        self.inputs, self.output = [n for n in ports if modes[n]], next(n for n in ports if not modes[n])
        self.most = int(self.engine.get_tensor_profile_shape(self.inputs[0], 0)[1][0])
        self.slots: dict[tuple[int, ...], Slot] = {}
        digest = hashlib.sha256(content + key.encode()).hexdigest()
        self.cache = RuntimeCache(trt, self.engine, cache_folder() / "tensorrt-rtx" / f"{digest}.bin")

    def run(self, *arrays: Any) -> NDArray[np.float32]:
        """Inputs [N, ...] in the order of the model's, any N -> output [N, ...]."""
        pending: list[tuple[Slot, int]] = []
        results: list[NDArray[np.float32]] = []
        for turn, at in enumerate(range(0, len(arrays[0]), self.most)):
            chunk = [np.ascontiguousarray(array[at : at + self.most]) for array in arrays]
            slot = self._slot(chunk, turn % 2)
            if len(pending) == 2:  # this slot's last answer is taken before its buffers are filled again
                results.append(_finish(*pending.pop(0)))
            slot.start(chunk)
            pending.append((slot, len(chunk[0])))
        results += [_finish(*each) for each in pending]
        return results[0] if len(results) == 1 else np.concatenate(results)

    def _slot(self, chunk: list[Any], turn: int) -> Slot:
        rows = min(1 << (len(chunk[0]) - 1).bit_length(), self.most)
        key = (rows, turn, *(size for array in chunk for size in array.shape[1:]))
        if key not in self.slots:
            shapes = {n: (rows, *array.shape[1:]) for n, array in zip(self.inputs, chunk, strict=True)}
            types = {n: array.dtype for n, array in zip(self.inputs, chunk, strict=True)}
            self.slots[key] = Slot(self.cuda, self.cache.context(), shapes, types, self.output)
        return self.slots[key]

    def close(self) -> None:
        for slot in self.slots.values():
            slot.close()
        self.slots = {}
        self.cache.save()


class RuntimeCache:
    """Contexts that share the kernels which TensorRT-RTX compiled for this GPU, kept in the user's cache."""

    def __init__(self, trt: Any, engine: Any, file: Path) -> None:
        self.engine, self.file, self.config, self.kernels = engine, file, None, None
        if not hasattr(engine, "create_runtime_config") or not hasattr(trt, "IRuntimeCache"):
            return
        self.config = engine.create_runtime_config()
        strategy = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategy is not None:  # a graph keeps the kernels that it was captured with: have the best ones by then
            self.config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
        self.kernels = self.config.create_runtime_cache()
        with contextlib.suppress(OSError):
            self.kernels.deserialize(file.read_bytes())
        self.config.set_runtime_cache(self.kernels)

    def context(self) -> Any:
        return self.engine.create_execution_context(*([self.config] if self.config is not None else []))

    def save(self) -> None:
        from maescan.errors import DataError
        from maescan.files import whole_file

        if self.kernels is not None and not self.file.exists():
            with contextlib.suppress(DataError), whole_file(self.file) as temporary:
                temporary.write_bytes(bytes(self.kernels.serialize()))


def _finish(slot: Slot, rows: int) -> NDArray[np.float32]:
    return slot.result()[:rows].copy()


def _check_version(trt: Any, folder: Path, values: dict[str, Any]) -> None:
    """A tuned engine runs with the TensorRT that built it; RTX's run with that version or a newer one."""
    built, here = values["versions"].get(trt.__name__, "unknown"), trt.__version__
    fits = built == here if values["target"] == "tensorrt" else _numbers(built) <= _numbers(here)
    if not fits:
        remedy = f"maescan export {folder.parent.parent} --to {values['target']} --precision {values['precision']}"
        raise EngineError(f"was built by TensorRT {built}, this is {here}", path=folder, remedy=remedy)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2] if part.isdigit()] or [1 << 30]
