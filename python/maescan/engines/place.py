"""Places on a GPU: the path from slices to scores runs there once plainly, once under capture, and then is replayed.

A slot is a stream with its memory; its places are shapes of batches that take turns in that memory.
"""

from __future__ import annotations

import contextlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.engines.cuda import ALIGNMENT, Arena, Device, DeviceArray, bytes_of, host_array, padded
from maescan.engines.network import Network
from maescan.engines.staging import Staging
from maescan.errors import ConfigError, EngineError
from maescan.method.engine import Floats, TokenBatch
from maescan.method.raw import RawSlices
from maescan.method.score import enqueue
from maescan.method.tokens import value_range

Spec = tuple[tuple[int, ...], str]

NARROW = 64.0
"""The largest intensity that goes up in float16, whose step is 1/32 there and 1/512 at 2 to 4."""

GRAPHS = True
"""Whether places are captured; off, every batch is enqueued step by step: to measure what graphs gain."""


@dataclass(frozen=True)
class Shape:
    """slices: rows of the place; tokens: of a slice's set; full: the set is the grid; maps: they come down too; raw:
    voxels go up, not slices."""

    slices: int
    tokens: int
    full: bool
    maps: bool
    raw: bool = False

    @staticmethod
    def of(batch: TokenBatch, sizes: tuple[int, ...], maps: bool) -> Shape:
        """The shape that holds a batch: the smallest of `sizes` that is large enough."""
        slices = next(size for size in sizes if size >= len(batch.images))
        return Shape(slices, batch.ids.shape[1], batch.full, maps, isinstance(batch.images, RawSlices))


def inputs(preset: Preset, shape: Shape, images: str = "float32", *, rows: bool = True) -> dict[str, Spec]:
    """What goes up for each batch, and the ids of the full grid, which go up once. images: their type; rows: whether
    the ids are needed once per pass, too."""
    size, passes = preset.model.image_size, preset.masks.passes
    found: dict[str, Spec] = {
        "images": ((shape.slices, size, size), images),
        "slice_ids": ((shape.slices,), "int64"),
        "ids": ((shape.slices, shape.tokens), "int32"),
    }
    return found | ({"rows": ((shape.slices * passes, shape.tokens), "int32")} if rows else {})


def narrow_images(preset: Preset, precision: str) -> bool:
    """Whether slices go up in float16: where the networks work in 16 bits or fewer themselves, and intensities are
    held in a range that fits. Training reads them from a cache in float16, too."""
    known = value_range(preset) if preset.intensity.clip else None
    return precision != "fp32" and known is not None and max(map(abs, known)) <= NARROW


def memory_needed(preset: Preset, slices: int, *, whole: bool = False) -> tuple[int, int]:
    """(bytes on the GPU, bytes of pinned memory) that hold every place of up to so many slices, scratch apart.
    whole: one graph has what lies between the networks in its scratch."""
    model, passes, size = preset.model, preset.masks.passes, preset.model.image_size
    tokens, keep, pixels = model.tokens, preset.masks.visible(model.tokens), model.patch_pixels
    up = sum(padded(bytes_of(*spec)) for spec in inputs(preset, Shape(slices, tokens, True, True)).values())
    pictures, scores = bytes_of((slices, size, size), "float32"), bytes_of((slices,), "float32")
    rows = bytes_of((slices * passes, 2 * tokens), "int32")
    networks = bytes_of((slices * passes, keep + tokens, pixels), "float32") + 2 * pictures
    between = rows + (0 if whole else networks) + 3 * pictures + slices * (tokens * 8 + size * 8) + 4 * scores
    return up + between + 16 * ALIGNMENT, up + 2 * pictures + 4 * scores + 8 * ALIGNMENT


class Slot:
    """A stream, its memory on the GPU and its pinned memory, for the places that take turns there."""

    def __init__(self, cuda: Device, sizes: tuple[int, int], scratch: int) -> None:
        self.cuda, self.sizes, self.scratch_bytes, self._held = cuda, sizes, scratch, ExitStack()
        self.staging = Staging(cuda)
        try:
            self._held.callback(self.staging.close)
            self.stream = cuda.stream(self._held)
            self.device = cuda.take(self._held, sizes[0])
            self.pinned = cuda.take(self._held, sizes[1], pinned=True)
            self.scratch = cuda.take(self._held, scratch)
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Until all that was enqueued is done."""
        self.cuda("cudaStreamSynchronize", self.stream)

    def close(self) -> None:
        """Waits and gives the memory back; an error that CUDA reports then is one of before."""
        with contextlib.suppress(EngineError, AttributeError):
            self.wait()
        with contextlib.suppress(EngineError):
            self._held.close()


class CudaPlace:
    """A shape of batch in a slot's memory, with contexts of the networks and one captured graph of the whole path.

    Implements maescan.method.engine.Place while it is made; afterwards `start` and `result` replay it.
    """

    def __init__(self, slot: Slot, networks: dict[str, Network], preset: Preset, shape: Shape) -> None:
        self.slot, self.networks, self.preset, self.shape = slot, networks, preset, shape
        self.stream, self.cuda = slot.stream, slot.cuda
        self.whole = "scores" in networks
        self.visible_dtype = networks["mae"].dtypes["visible"] if "mae" in networks else "float32"
        self.hidden = self.whole or ("mae" in networks and "hidden_ids" in networks["mae"].inputs)
        images = networks["scores"].dtypes["images"] if self.whole else "float32"
        self._specs = inputs(preset, shape, images, rows=not self.whole)
        self._made = self._specs.pop("images") if shape.raw else None
        self._memory, self._host = Arena(slot.device, slot.sizes[0]), Arena(slot.pinned, slot.sizes[1])
        self._arrays: dict[str, DeviceArray] = {}
        self._contexts: Json = {}
        self._answers: dict[str, dict[str, DeviceArray]] = {}
        self._up: dict[str, NDArray[np.generic]] = {}
        self._down: dict[str, NDArray[Any]] = {}
        self._held, self.graph, self.rows = ExitStack(), None, 0
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    # ---- as a Place
    def buffer(self, name: str, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        """The place's array of that name in the slot's memory."""
        if name not in self._arrays:
            pointer = self._memory.take(bytes_of(shape, dtype))
            self._arrays[name] = DeviceArray(pointer, shape, dtype, self.cuda.number)
        return self._arrays[name]

    def at_once(
        self, batch: TokenBatch, keep_ids: DeviceArray, hidden_ids: DeviceArray, restore_ids: DeviceArray
    ) -> dict[str, DeviceArray] | None:
        """All answers, from the graph of the whole path where the engine has it."""
        if not self.whole:
            return None
        return self._run("scores", (batch.images, batch.ids, keep_ids, hidden_ids, restore_ids))

    def reconstruct(self, *arrays: DeviceArray) -> DeviceArray:
        """Predictions of the MAE in its plan's type: [N, T-K, P*P] of the hidden tokens, or [N, T, P*P]."""
        return next(iter(self._run("mae", arrays).values()))

    def classify(self, *arrays: DeviceArray) -> DeviceArray:
        """Probability [B] of abnormal."""
        return next(iter(self._run("classifier", arrays).values()))

    def judge(self, *_: object) -> dict[str, DeviceArray]:
        """Raises ConfigError: its features have no kernel, and the graph of the whole path is not there."""
        reason = (
            f"preset '{self.preset.name}' scores with a judge, which TensorRT runs in one graph of the path alone"
        )
        raise ConfigError(reason, remedy="score on the CPU, or with torchscript on the GPU")

    def _run(self, name: str, arrays: tuple[DeviceArray, ...]) -> dict[str, DeviceArray]:
        network = self.networks[name]
        if name not in self._contexts:
            context, shapes = network.bind(list(arrays))
            answers = {}
            for port, shape in shapes.items():
                answers[port] = self.buffer(f"{name} {port}", shape, network.dtypes[port])
                network.point(context, port, answers[port])
            own = partial(self.cuda.take, self._held)
            network.lend(context, self.slot.scratch, self.slot.scratch_bytes, own)
            self._contexts[name], self._answers[name] = context, answers
        network.run(self._contexts[name], self.stream)
        return self._answers[name]

    # ---- made once
    def _prepare(self) -> None:
        """Buffers, one plain run (TensorRT compiles, and does work of its own at the first), then the capture."""
        fixed = ("ids", "rows") if self.shape.full else ()
        if self._made:
            self.buffer("images", *self._made)
        for name, (shape, dtype) in self._specs.items():
            size = bytes_of(shape, dtype)
            self._up[name] = host_array(self._host.take(size), shape, dtype)
            self._up[name][...] = np.arange(self.shape.tokens) if name in fixed else 0
            if name in fixed:  # of the place itself: others of its slot would write over them
                pointer = self.cuda.take(self._held, size)
                self._arrays[name] = DeviceArray(pointer, shape, dtype, self.cuda.number)
                self._copy(name, self._up.pop(name), up=True)
            else:
                self.buffer(name, shape, dtype)
        self._work()
        self.slot.wait()
        if GRAPHS:
            self._capture()

    def _capture(self) -> None:
        """The graph; where the networks cannot be captured every batch is enqueued step by step, and it is said."""
        asked = [getattr(context, "is_stream_capturable", None) for context in self._contexts.values()]
        why = "TensorRT cannot be captured"
        if all(ask is None or ask(self.stream) for ask in asked):
            try:
                self.graph = self.cuda.capture(self._held, self.stream, self._work)
                return
            except EngineError as error:  # the plain run before worked
                why = error.reason
        logging.getLogger("maescan").warning(
            "%s: no CUDA graph (%s); batches are launched one step at a time", self.shape, why
        )

    def _work(self) -> None:
        """Enqueues all of a batch: up, the path, down."""
        for name, array in self._up.items():
            self._copy(name, array, up=True)
        arrays = self._arrays
        rows = arrays.get("rows")
        batch = TokenBatch(arrays["images"], arrays["slice_ids"], arrays["ids"], rows, self.shape.full)
        answers = enqueue(batch, self, self.preset, maps=self.shape.maps)
        for name, array in answers.items():
            if name not in self._down:
                self._arrays[name] = array
                self._down[name] = host_array(self._host.take(array.nbytes), array.shape, array.dtype)
            self._copy(name, self._down[name], up=False)

    def _copy(self, name: str, host: NDArray[np.generic], *, up: bool) -> None:
        device, pinned = self._arrays[name].pointer, host.ctypes.data
        self.cuda.copy(*((device, pinned) if up else (pinned, device)), host.nbytes, self.stream, up=up)

    # ---- every batch
    def start(self, batch: TokenBatch) -> None:
        """Fills the pinned inputs and launches; returns at once. Rows beyond the batch's are zeros."""
        passes, self.rows = self.preset.masks.passes, len(batch.images)
        given = {"images": batch.images, "slice_ids": batch.slice_ids, "ids": batch.ids, "rows": batch.rows}
        for name, array in self._up.items():
            rows = self.rows * (passes if name == "rows" else 1)
            np.copyto(array[:rows], given[name], casting="unsafe" if name == "slice_ids" else "same_kind")
            array[rows:] = 0  # token 0 is a place of every grid
        if self.shape.raw:
            self._extract(batch.images)
        if self.graph is None:
            self._work()
        else:
            self.cuda("cudaGraphLaunch", self.graph, self.stream)

    def _extract(self, images: RawSlices) -> None:
        """Before the graph, which cannot hold what differs by scan: voxels and their way to the grid go up in
        one copy, then a kernel a scan makes its slices."""
        each = [part.arrays() for part in images.parts]
        there, low = self.slot.staging.up([array for part in each for array in part], self.stream), 0
        for part, arrays in zip(images.parts, each, strict=True):
            given, there = there[: len(arrays)], there[len(arrays) :]
            part.extract(tuple(given), self._arrays["images"].part(low, low + len(part)), self.stream)
            low += len(part)

    def result(self) -> dict[str, Floats]:
        """Waits; the answers of the last start."""
        self.slot.wait()
        return {name: array[: self.rows].copy() for name, array in self._down.items()}

    def close(self) -> None:
        """Waits, and gives back the graph and what is the place's own; an error that CUDA reports then is one of
        before."""
        with contextlib.suppress(EngineError):
            self.slot.wait()
        self._contexts = {}
        with contextlib.suppress(EngineError):
            self._held.close()
