"""TorchScript: the fp32 reference on any machine with torch, and in 16 bits the fast engine of a GPU that has no
TensorRT: there the whole path from slices to scores is captured in CUDA graphs.

torch's allocator gives a graph a pool of its own, so here the kernels make their own arrays in it.
"""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.engines import place
from maescan.engines.place import Shape, inputs, narrow_images
from maescan.errors import EngineError
from maescan.machine import cpu_name, require_gpu
from maescan.method.engine import Array, Floats, Ids, TokenBatch
from maescan.method.masks import of_all_tokens
from maescan.method.raw import RawSlices
from maescan.method.score import enqueue
from maescan.records import decode

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Where

PLACES = 128
"""Graphs that are kept, over both streams, whose graphs share memory; the one not used for longest goes first."""

PORTS = "ports.json"
"""Of a file, beside the network: its inputs' names and types. Files of before have none: their MAE takes float32 and
restore_ids, and answers for all tokens."""

SIZES = (1, 8, 16, 32, 64)
"""Slices of a batch: a graph each, for every size of token sets."""

WARM = 3
"""Runs before a network's first capture: TorchScript profiles in its first ones, and compiles."""


def load_torchscript(
    folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
) -> TorchScriptEngine:
    """The engine of a folder, with places of its own on a GPU, but for a judge, whose features have no kernel yet."""
    if device.partition(":")[0] == "cpu" or preset.measure == "judge":
        return TorchScriptEngine(folder, values, device=device, threads=threads, preset=preset)
    return GraphEngine(folder, values, device=device, threads=threads, preset=preset)


class TorchScriptEngine:
    """The two traced models of an engine folder, on a CPU or a GPU."""

    target, batch = "torchscript", 8

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
    ) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.precision, self.version = values["precision"], f"torch {torch.__version__}"
        self.device, self.name, self.preset = torch.device(device), f"{self.target}-{self.precision}", preset
        self.device_name = cpu_name() if self.device.type == "cpu" else str(require_gpu(device))
        self.networks: dict[str, Any] = {}
        self.ports: dict[str, dict[str, str]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of TorchScript; C++ programs still load it
            for name in ("mae", "classifier"):
                if (folder / f"{name}.pt").exists():
                    said, file = {PORTS: ""}, folder / f"{name}.pt"
                    self.networks[name] = torch.jit.load(file, map_location=self.device, _extra_files=said)
                    keep_sizes_on_host(self.networks[name])
                    self.ports[name] = decode(dict[str, str], said[PORTS] or "{}", path=file, remedy="export it anew")

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""

        def run(ids: Ids) -> NDArray[np.float32]:
            return self._run("mae", visible, token_ids, keep_ids, ids)

        if "hidden_ids" not in self.ports["mae"]:
            return run(restore_ids)
        return of_all_tokens(run, restore_ids, visible.shape[1])

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._run("classifier", tokens, token_ids)

    def _run(self, name: str, *arrays: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            given = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]
            given[0] = given[0].to(getattr(torch, next(iter(self.ports[name].values()), "float32")))
            result: NDArray[np.float32] = self.networks[name](*given).float().cpu().contiguous().numpy()
        return result

    def close(self) -> None:
        """Lets the networks go."""
        self.networks = {}


def keep_sizes_on_host(network: Any) -> None:
    """Whole numbers that a traced network reckons sizes with stay on the host: on the GPU, where loading puts them,
    each would be waited for, which no capture allows. Files exported since have none."""
    for node in network.graph.findAllNodes("prim::Constant"):
        value = node.output().toIValue()
        if getattr(value, "ndim", None) == 0 and not value.is_floating_point():
            node.t_("value", value.cpu())


class Lane:
    """A stream of a GPU and the memory that the graphs on it share: one runs at a time, and its answers are copied
    down before the next."""

    def __init__(self, where: Where) -> None:
        import torch

        on_gpu, self.warm = where.type == "cuda", WARM
        self.stream: Any = torch.cuda.Stream(where) if on_gpu else None
        self.pool: Any = torch.cuda.graph_pool_handle() if on_gpu else None


class GraphEngine(TorchScriptEngine):
    """On a GPU: slices go up, scores come down. Batches take two streams in turn."""

    batch = 8 * SIZES[-1]

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
    ) -> None:
        super().__init__(folder, values, device=device, threads=threads, preset=preset)
        self.places: OrderedDict[tuple[Shape, int], TorchPlace] = OrderedDict()
        self.lanes = Lane(self.device), Lane(self.device)

    def score(self, batches: Sequence[TokenBatch], preset: Preset, *, maps: bool) -> list[dict[str, Floats]]:
        """The answers of batches of any size, on the host; see maescan.method.engine.DeviceEngine."""
        most = SIZES[-1]
        return place.in_turns(batches, preset.masks.passes, most, lambda part, turn: self._place(part, maps, turn))

    def _place(self, batch: TokenBatch, maps: bool, turn: int) -> TorchPlace:
        key = (Shape.of(batch, SIZES, maps), turn)
        if key not in self.places:
            while len(self.places) >= PLACES:
                self.places.popitem(last=False)[1].close()
            try:
                images = "float16" if narrow_images(self.preset, self.precision) else "float32"
                ports = self.ports.get("mae", {})
                lane = self.lanes[turn]
                lane.warm = 1 if self.places else WARM
                self.places[key] = TorchPlace(self.networks, self.preset, key[0], self.device, lane, images, ports)
            except RuntimeError as error:  # torch has no other for what CUDA refuses
                reason = f"torch: {str(error).splitlines()[0]}"
                raise EngineError(reason, remedy="use a smaller --batch, or end other programs on the GPU") from error
        self.places.move_to_end(key)
        return self.places[key]

    def close(self) -> None:
        """Lets graphs, their memory and the networks go."""
        for made in self.places.values():
            made.close()
        self.places = OrderedDict()
        super().close()


class TorchPlace:
    """A shape of batch with its pinned and device memory, a stream and, on a GPU, one graph of the whole path.

    networks: `mae` and `classifier` as they were loaded; lane: where it runs; images: the type in which slices go up;
    ports: the MAE's. On the CPU every batch runs step by step: to try it there.
    """

    stream = None

    def __init__(
        self,
        networks: dict[str, Any],
        preset: Preset,
        shape: Shape,
        where: Where,
        lane: Lane,
        images: str = "float32",
        ports: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        import torch

        self.networks, self.preset, self.shape, self.where = networks, preset, shape, where
        self.on_gpu, self.rows = where.type == "cuda", 0
        self.visible_dtype, self.hidden = ports.get("visible", "float32"), "hidden_ids" in ports
        self.graph: Any = None
        self._side, self._pool, self._warm = lane.stream, lane.pool, lane.warm
        self._host, self._up = {}, {}
        for name, (size, dtype) in inputs(preset, shape, images).items():
            self._host[name] = torch.zeros(size, dtype=getattr(torch, dtype), pin_memory=self.on_gpu)
            if shape.full and name in ("ids", "rows"):
                self._host[name][...] = torch.arange(shape.tokens)
            self._up[name] = self._host[name].to(where)
        with torch.inference_mode():
            self._capture() if self.on_gpu and place.GRAPHS else self._work()
        self._down = {name: torch.empty_like(value, device="cpu", pin_memory=self.on_gpu)
                      for name, value in self._answers.items()}  # fmt: skip

    # ---- as a Place
    def buffer(self, name: str, shape: tuple[int, ...], dtype: str) -> Tensor:
        """New memory of torch's allocator, which has a pool for each graph."""
        import torch

        return torch.empty(shape, dtype=getattr(torch, dtype), device=self.where)

    def at_once(self, *_: object) -> None:
        """None: kernels and networks are in one graph already."""

    def reconstruct(self, *arrays: Tensor) -> Array:
        """Predictions of the MAE in its own type: [N, T-K, P*P] of the hidden tokens, or [N, T, P*P]."""
        return self.networks["mae"](*arrays).contiguous()

    def classify(self, *arrays: Tensor) -> Array:
        """Probability [B] of abnormal."""
        return self.networks["classifier"](*arrays).contiguous()

    # ---- made once
    def _capture(self) -> None:
        import torch

        graph = torch.cuda.CUDAGraph()
        self._side.wait_stream(torch.cuda.current_stream(self.where))
        with torch.cuda.stream(self._side):
            for _ in range(self._warm):
                self._work()
        torch.cuda.synchronize(self.where)
        try:
            with torch.cuda.stream(self._side):  # torch.cuda.graph would give all cached memory back before
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    self._work()
                finally:
                    graph.capture_end()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logging.getLogger("maescan").warning(
                "%s: torch cannot capture this in a CUDA graph (%s); batches are launched one step at a time",
                self.shape,
                str(error.__context__ or error).splitlines()[0],
            )
            self._side.synchronize()
            with torch.cuda.stream(self._side):
                self._work()
        else:
            self.graph = graph

    def _work(self) -> None:
        up = self._up
        batch = TokenBatch(up["images"].float(), up["slice_ids"], up["ids"], up["rows"], self.shape.full)
        self._answers = enqueue(batch, self, self.preset, maps=self.shape.maps)

    # ---- every batch
    def start(self, batch: TokenBatch) -> None:
        """Fills the pinned inputs and launches; returns at once. Rows beyond the batch's are zeros."""
        import torch

        self.rows = len(batch.images)
        given = {"images": batch.images, "slice_ids": batch.slice_ids, "ids": batch.ids, "rows": batch.rows}
        fixed = ("ids", "rows") if self.shape.full else ()
        with torch.inference_mode(), torch.cuda.stream(self._side):
            if self.shape.raw:
                self._extract(given.pop("images"))
            for name in given.keys() - set(fixed):
                rows, host = len(given[name]), self._host[name]
                array = given[name].astype(np.int64, copy=False) if name == "slice_ids" else given[name]
                host[:rows].copy_(torch.from_numpy(np.require(array, requirements=["C", "W"])))  # numpy rounds slowly
                host[rows:] = 0  # token 0 is a place of every grid
                self._up[name].copy_(self._host[name], non_blocking=True)
            if self.graph is None:
                self._work()
            else:
                self.graph.replay()
            for name, value in self._answers.items():
                self._down[name].copy_(value, non_blocking=True)

    def _extract(self, images: RawSlices) -> None:
        """Voxels and their way to the grid go up, and a kernel a scan makes its slices."""
        low = 0
        for part in images.parts:
            there = [self._raised(array) for array in part.arrays()]
            part.extract(tuple(there), self._up["images"][low : low + len(part)])
            low += len(part)

    def _raised(self, array: NDArray[np.generic]) -> Tensor:
        import torch

        host = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name), pin_memory=self.on_gpu)
        host.numpy()[...] = array
        return host.to(self.where, non_blocking=True)

    def result(self) -> dict[str, Floats]:
        """Waits; the answers of the last start."""
        if self._side is not None:
            self._side.synchronize()
        return {name: value[: self.rows].numpy().copy() for name, value in self._down.items()}

    def close(self) -> None:
        """Waits, and lets graph and memory go."""
        if self._side is not None:
            self._side.synchronize()
        self.graph, self._answers, self._up, self._host, self._down = None, {}, {}, {}, {}
