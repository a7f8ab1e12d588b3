"""TensorRT and TensorRT-RTX: the engines of NVIDIA GPUs. Loads no torch.

Slices go up, scores come down: between, masks, patches, networks and differences stay in the GPU's memory. A call is
cut into batches that two slots take in turn, so that one's copies run beside the other's arithmetic.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.engines.cuda import FULL, Device, DeviceArray, bytes_of, host_array
from maescan.engines.network import Network
from maescan.engines.place import CudaPlace, Shape, Slot, memory_needed
from maescan.engines.plans import BATCHES, plan, shapes
from maescan.engines.targets import TARGETS
from maescan.engines.turns import in_turns
from maescan.errors import EngineError, typed
from maescan.kernels import require_cuda
from maescan.machine import Gpu, cache_folder, driver_name, driver_version, require_gpu
from maescan.method.engine import Floats, Ids, TokenBatch
from maescan.method.masks import of_all_tokens
from maescan.method.raw import MOST_BYTES

PLACES = 24
"""Places of a slot, each a context a network and a graph; the one not used for longest goes first."""

SPARE = 256 << 20
"""Bytes that stay free: contexts, graphs and compiled kernels take memory that nobody can ask about before, and the
way of raw voxels to the grid some more."""


WHOLE = True
"""Whether the graph of the whole path is used where an export has it; off, the networks run one by one: to measure
what it gains."""


class TensorRtEngine:
    """The two networks of an engine folder, on a GPU: ONNX that is built here, or plans of this very TensorRT."""

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
    ) -> None:
        from cuda.bindings import runtime

        self.target, self.precision, self.preset = values["target"], values["precision"], preset
        require_cuda()
        gpu, trt = require_gpu(device), importlib.import_module(TARGETS[self.target].package)
        self.cuda = Device(runtime, gpu.number)
        self.cuda.use()
        self.name, self.version = f"{self.target}-{self.precision}", f"{self.target} {trt.__version__}"
        self.device_name = f"{gpu}, {driver_name()}"
        self.places: OrderedDict[tuple[Shape, int], CudaPlace] = OrderedDict()
        self._slots: list[Slot] = []
        self._networks: dict[str, Network] = {}
        try:
            self._load = partial(self._network, trt, folder, values, gpu)
            self.path = self._open(folder)
            self.most = self._largest()
        except BaseException:
            self.close()
            raise
        self.batch = 4 * self.most  # several a call, so that two slots always have work

    def _open(self, folder: Path) -> list[str]:
        """Loads what scores: the graph of the whole path where there is one, else the networks. Their names."""
        if WHOLE and (folder / "scores.onnx").exists():
            try:
                self._networks["scores"] = self._load("scores")
                return ["scores"]
            except EngineError as error:
                logging.getLogger("maescan").warning("the networks run one by one, since the whole path: %s", error)
        names = ("mae", "classifier")
        found = [name for name in names if any((folder / f"{name}{end}").exists() for end in (".onnx", ".engine"))]
        self._networks |= {name: self._load(name) for name in found}
        return found

    def _network(self, trt: Any, folder: Path, values: dict[str, Any], gpu: Gpu, name: str) -> Network:
        onnx, ready = folder / f"{name}.onnx", folder / f"{name}.engine"
        content = plan(trt, onnx, self.preset, gpu) if onnx.exists() else _ready(trt, ready, values)
        digest = hashlib.sha256(content + f"{gpu}, {driver_version()}-{self.version}".encode()).hexdigest()
        compiled = cache_folder() / "tensorrt-rtx" / f"{digest}.bin"
        try:
            return Network(trt, content, folder, compiled)
        except EngineError as error:
            if not onnx.exists() or error.remedy:  # what the machine lacks no other plan mends
                raise
        content = plan(trt, onnx, self.preset, gpu, anew=True)  # the cache may have been cut or spoilt
        return Network(trt, content, folder, compiled)

    def _largest(self) -> int:
        """The most slices that two slots can hold in the memory that is free. Raises EngineError for not even one."""
        free = self.cuda.free_bytes()
        for slices in reversed(BATCHES):
            needed = 2 * (self._memory(slices)[0] + self._scratch(slices) + slices * MOST_BYTES)
            if needed + SPARE <= free:
                return slices
        reason = f"needs {(needed + SPARE) >> 20} MB for one slice, and {free >> 20} MB of the GPU are free"
        raise EngineError(reason, remedy=FULL)

    def _scratch(self, slices: int) -> int:
        """Bytes of scratch memory for whole grids of `slices`: the networks run one after the other, and share it."""
        networks, tokens = [self._networks[name] for name in self.path], self.preset.model.tokens
        return max(network.scratch(shapes(network.inputs, self.preset, slices, tokens)) for network in networks)

    def _memory(self, slices: int) -> tuple[int, int]:
        return memory_needed(self.preset, slices, whole="scores" in self.path)

    def score(self, batches: Sequence[TokenBatch], preset: Preset, *, maps: bool) -> list[dict[str, Floats]]:
        """The answers of batches of any size, on the host; see maescan.method.engine.DeviceEngine."""
        passes = self.preset.masks.passes
        try:
            self.cuda.use()
            return in_turns(batches, passes, self.most, lambda part, turn: self._place(part, maps, turn))
        except EngineError:
            self.cuda.check()
            raise

    def _place(self, batch: TokenBatch, maps: bool, turn: int) -> CudaPlace:
        key = (Shape.of(batch, BATCHES, maps), turn)
        if key not in self.places:
            while sum(other == turn for _, other in self.places) >= PLACES:
                self.places.pop(next(k for k in self.places if k[1] == turn)).close()
            try:
                self.places[key] = self._made(key[0], turn)
            except EngineError:  # places of other shapes may hold the memory that it lacks
                others = [other for other in self.places if other[1] == turn]
                if not others:
                    raise
                for other in others:
                    self.places.pop(other).close()
                self.places[key] = self._made(key[0], turn)
            for network in self._networks.values():
                network.kernels.save()
        self.places.move_to_end(key)
        return self.places[key]

    def _made(self, shape: Shape, turn: int) -> CudaPlace:
        return CudaPlace(self._slot(turn), self._networks, self.preset, shape)

    def _slot(self, turn: int) -> Slot:
        while len(self._slots) <= turn:
            self._slots.append(Slot(self.cuda, self._memory(self.most), self._scratch(self.most)))
        return self._slots[turn]

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        most = self.most * self.preset.masks.passes

        def run(ids: Ids) -> NDArray[np.float32]:
            return self._once("mae", (visible, token_ids, keep_ids, ids), most)

        if "hidden_ids" not in self._alone_of("mae").inputs:
            return run(restore_ids)
        return of_all_tokens(run, restore_ids, visible.shape[1])

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._once("classifier", (tokens, token_ids), self.most)

    def _alone_of(self, name: str) -> Network:
        """A network by itself, loaded when somebody asks for it first."""
        if name not in self._networks:
            self.cuda.use()
            self._networks[name] = self._load(name)
        return self._networks[name]

    def _once(self, name: str, arrays: tuple[Any, ...], most: int) -> NDArray[np.float32]:
        """One network alone, from the host to the host: for those who time or record it."""
        self.cuda.use()
        cuts = range(0, len(arrays[0]), most)
        return np.concatenate([self._alone(name, [a[at : at + most] for a in arrays]) for at in cuts])

    def _alone(self, name: str, arrays: list[NDArray[Any]]) -> NDArray[np.float32]:
        network, slot = self._alone_of(name), self._slot(0)
        with ExitStack() as stack:
            given = []
            for port, array in zip(network.inputs, arrays, strict=True):
                given.append(self._up(stack, slot, np.ascontiguousarray(array), network.dtypes[port]))
            context, sizes = network.bind(given)
            ((port, shape),) = sizes.items()
            dtype = network.dtypes[port]
            size = bytes_of(shape, dtype)
            out = DeviceArray(self.cuda.take(stack, size), shape, dtype, self.cuda.number)
            back = host_array(self.cuda.take(stack, size, pinned=True), shape, dtype)
            network.point(context, port, out)
            scratch = network.scratch({name: array.shape for name, array in zip(network.inputs, given, strict=True)})
            network.lend(context, self.cuda.take(stack, scratch), scratch, partial(self.cuda.take, stack))
            network.run(context, slot.stream)
            self.cuda.copy(back.ctypes.data, out.pointer, size, slot.stream, up=False)
            slot.wait()
            return _widened(back, dtype)

    def _up(self, stack: ExitStack, slot: Slot, array: NDArray[Any], dtype: str) -> DeviceArray:
        size = bytes_of(array.shape, dtype)
        device = DeviceArray(self.cuda.take(stack, size), array.shape, dtype, self.cuda.number)
        host = host_array(self.cuda.take(stack, size, pinned=True), array.shape, dtype)
        host[...] = _narrowed(array, dtype)
        self.cuda.copy(device.pointer, host.ctypes.data, size, slot.stream, up=True)
        return device

    def close(self) -> None:
        """Gives back graphs, contexts, streams and memory; keeps the compiled kernels for the next start. What CUDA
        says then is of an error before."""
        with contextlib.suppress(EngineError), ExitStack() as stack:
            closes = [network.close for network in self._networks.values()]
            closes += [slot.close for slot in self._slots] + [place.close for place in self.places.values()]
            for close in closes:  # the last is closed first
                stack.callback(close)
            stack.callback(self.cuda.use)
            self.places, self._slots, self._networks = OrderedDict(), [], {}


def _ready(trt: Any, file: Path, values: dict[str, Any]) -> bytes:
    """A plan that came with the bundle. Raises EngineError where another release built it: none runs another's."""
    built, here = values["versions"].get(trt.__name__, "unknown"), trt.__version__
    if built != here:
        folder = file.parent  # of a bundle: engines/NAME/VERSION
        what = f"--to {values['target']} --precision {values['precision']}"
        remedy = f"maescan export {typed(folder.parents[2])} {what}"
        raise EngineError(f"was built by {trt.__name__} {built}, this is {here}", path=folder, remedy=remedy)
    return file.read_bytes()


def _narrowed(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values as a port takes them; bfloat16 as its bits, rounded to nearest even."""
    if dtype != "bfloat16":
        return array.astype(dtype)
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _widened(array: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Answers as float32."""
    if dtype != "bfloat16":
        return array.astype(np.float32)
    return (array.astype(np.uint32) << 16).view(np.float32)
