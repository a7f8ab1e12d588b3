"""A shape of batch on a GPU through torch: its stream, its memory, and one captured graph of the whole path."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.config import Preset
from maescan.engines import place, torch_judge
from maescan.engines.place import Shape, inputs
from maescan.method.engine import Answers, Array, Floats, TokenBatch
from maescan.method.raw import RawSlices
from maescan.method.score import enqueue

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Where
    from torch.cuda import CUDAGraph

WARM = 3
"""Runs before an engine's first capture: libraries make their plans and workspaces in them."""


def as_traced() -> contextlib.AbstractContextManager[None]:
    """TorchScript runs networks as they are: it would compile parts of them for each new shape, perhaps while a graph
    is captured, and answers would differ in their last bits from those of its first runs."""
    from torch.jit import optimized_execution  # type: ignore[attr-defined]

    made: contextlib.AbstractContextManager[None] = optimized_execution(False)
    return made


class Lane:
    """A stream of a GPU and the memory that the graphs on it share: one runs at a time, and its answers are copied
    down before the next."""

    def __init__(self, where: Where) -> None:
        import torch

        self.where, self.warm, on_gpu = where, WARM, where.type == "cuda"
        self.stream = torch.cuda.Stream(where) if on_gpu else None
        self._graphs: weakref.WeakSet[CUDAGraph] = weakref.WeakSet()
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None

    def capture(self, work: Callable[[], None]) -> CUDAGraph:
        """A graph of what `work` launches. Raises RuntimeError where that cannot be captured; graphs of before, and
        those to come, are as good as without it."""
        import torch

        if not self._graphs:  # torch takes no pool twice whose graphs are all gone
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self.stream):  # torch.cuda.graph would give all cached memory back before
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    work()
                finally:
                    graph.capture_end()
        except RuntimeError:
            self._mend()
            raise
        self._graphs.add(graph)
        return graph

    def _mend(self) -> None:
        """A failed capture leaves the pool recording, up to torch 2.11, and the generator of random numbers in a
        capture, which the next one that works ends."""
        import torch

        assert self.stream is not None and self._pool is not None
        index = torch.cuda.current_device() if self.where.index is None else self.where.index
        with contextlib.suppress(RuntimeError, AttributeError):
            torch._C._cuda_endAllocateToPool(index, self._pool)  # noqa: SLF001, torch has no public way
        self.stream.synchronize()
        self._graphs.clear()  # they keep their pool; those to come have another
        with contextlib.suppress(RuntimeError), torch.cuda.stream(self.stream):
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                torch.zeros(1, device=self.where)
            finally:
                graph.capture_end()


class TorchPlace:
    """A shape of batch with its pinned and device memory, a stream and, on a GPU, one graph of the whole path.

    networks: `mae` and `classifier` as they were loaded; lane: where it runs; images: the type in which slices go up;
    ports: the MAE's. On the CPU every batch runs step by step: to try it there.
    """

    stream = None

    def __init__(
        self,
        networks: Mapping[str, Callable[..., Tensor]],
        preset: Preset,
        shape: Shape,
        lane: Lane,
        images: str = "float32",
        ports: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        import torch

        self.networks, self.preset, self.shape, self.where = networks, preset, shape, lane.where
        self.on_gpu, self.rows = lane.where.type == "cuda", 0
        self.visible_dtype, self.hidden = ports.get("visible", "float32"), "hidden_ids" in ports
        self.graph: CUDAGraph | None = None
        self.lane, self._side = lane, lane.stream
        self._host, self._up = {}, {}
        for name, (size, dtype) in inputs(preset, shape, images).items():
            self._host[name] = torch.zeros(size, dtype=getattr(torch, dtype), pin_memory=self.on_gpu)
            if shape.full and name in ("ids", "rows"):
                self._host[name][...] = torch.arange(shape.tokens)
            self._up[name] = self._host[name].to(self.where)
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

    def judge(self, batch: TokenBatch, predictions: Tensor, restore_ids: Tensor, preset: Preset) -> Answers:
        """The judge's score, and its map in place of the difference."""
        model, keep = preset.model, preset.masks.visible(self.shape.tokens)
        pixels = kernels.patchify(batch.images, batch.token_ids, patch=model.patch_size)
        seen = torch_judge.features(pixels, predictions, restore_ids, keep=keep, patch=model.patch_size)
        logits = self.classify(seen, batch.ids)
        answers = {"score": torch_judge.score(logits)}
        if self.shape.maps:
            answers["difference"] = torch_judge.heat(logits, batch.ids, model.grid, model.patch_size)[:, None]
        return answers

    # ---- made once
    def _attention(self) -> contextlib.AbstractContextManager[None]:
        """cuDNN's attention, torch's choice on a Hopper, takes tenths of a second for a shape that is new to it: not
        for token sets, which have many shapes and are short."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        return contextlib.nullcontext() if self.shape.full else sdpa_kernel(others)

    def _capture(self) -> None:
        import torch

        side = self._side
        assert side is not None
        side.wait_stream(torch.cuda.current_stream(self.where))
        with torch.cuda.stream(side):
            for _ in range(self.lane.warm):
                self._work()
        torch.cuda.synchronize(self.where)
        try:
            self.graph = self.lane.capture(self._work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logging.getLogger("maescan").warning(
                "%s: torch cannot capture this in a CUDA graph (%s); batches are launched one step at a time",
                self.shape,
                str(error.__context__ or error).splitlines()[0],
            )
            with torch.cuda.stream(side):
                self._work()

    def _work(self) -> None:
        up = self._up
        batch = TokenBatch(up["images"].float(), up["slice_ids"], up["ids"], up["rows"], self.shape.full)
        with self._attention(), as_traced():
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
        """Waits, and lets graph and memory go; an error that CUDA reports then is one of before."""
        if self._side is not None:
            with contextlib.suppress(RuntimeError):
                self._side.synchronize()
        self.graph, self.networks = None, {}
        self._answers, self._up, self._host, self._down = {}, {}, {}, {}
