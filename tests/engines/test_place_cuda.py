"""The path on a real GPU with networks of torch's element-wise operations: CUDA's memory, streams and graphs are the
card's own, TensorRT is a stand-in, and the answers are the CPU's to the bit."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.gpu_machine import FOREGROUND, same, slices_of
from maescan.engines.cuda import Device
from maescan.engines.place import CudaPlace, Shape, Slot, memory_needed
from maescan.engines.turns import in_turns
from maescan.method.score import score_slices

pytestmark = pytest.mark.needs_cuda
IDS = dict.fromkeys(("token_ids", "keep_ids", "restore_ids"), "int32")
TYPES = {"visible": "float32", "patches": "float32", **IDS}


def reconstruct(visible, token_ids, keep_ids, restore_ids):
    """Something of every input, with the same rounding in numpy and torch."""
    return visible[:, :1] * 0.5 + (token_ids + restore_ids)[:, :, None] * 0.25 + keep_ids[:, :1, None] * 0.125


def classify(patches, token_ids):
    return patches[:, 0, 0] * 0.5 + token_ids[:, -1] * 0.25


class Host:
    name, batch = "host", 8

    def reconstruct(self, *arrays):
        return reconstruct(*arrays).astype(np.float32)

    def classify(self, *arrays):
        return classify(*arrays).astype(np.float32)


class Exposed:
    """Device memory as torch takes it."""

    def __init__(self, array):
        kind = {"float32": "<f4", "int32": "<i4"}[array.dtype]
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": kind, "data": (array.pointer, False),
                                         "version": 3}  # fmt: skip


class TorchNetwork:
    """maescan.engines.network.Network over a function of torch tensors."""

    def __init__(self, call, inputs):
        self.call, self.inputs, self.outputs = call, inputs, ["result"]
        self.dtypes = {**{name: TYPES[name] for name in inputs}, "result": "float32"}

    def bind(self, arrays):
        shape = (len(arrays[0]),) if self.inputs[0] == "patches" else (*arrays[1].shape, arrays[0].shape[2])
        return {"given": arrays}, {"result": shape}

    def point(self, context, name, array):
        context["out"] = array

    def lend(self, context, pointer, size):
        pass

    def run(self, context, stream):
        import torch

        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            given = [torch.as_tensor(Exposed(array), device="cuda") for array in context["given"]]
            torch.as_tensor(Exposed(context["out"]), device="cuda").copy_(self.call(*given))


class PlaceEngine(Host):
    """Two slots of real CUDA, as the engine of TensorRT has them."""

    def __init__(self, preset, most):
        from cuda.bindings import runtime

        self.cuda, self.preset, self.most, self.places = Device(runtime, 0), preset, most, {}
        self.networks = {
            "mae": TorchNetwork(reconstruct, ["visible", "token_ids", "keep_ids", "restore_ids"]),
            "classifier": TorchNetwork(classify, ["patches", "token_ids"]),
        }
        self.slots = [Slot(self.cuda, memory_needed(preset, most), 256) for _ in range(2)]

    def score(self, batches, preset, *, maps):
        def place(batch, turn):
            shape = Shape(self.most, batch.ids.shape[1], batch.full, maps)
            if (shape, turn) not in self.places:
                self.places[shape, turn] = CudaPlace(self.slots[turn], self.networks, self.preset, shape)
            return self.places[shape, turn]

        return in_turns(batches, preset.masks.passes, self.most, place)

    def close(self):
        with ExitStack() as stack:
            for held in (*self.slots, *self.places.values()):
                stack.callback(held.close)


@pytest.mark.parametrize("preset", [SMALL, FOREGROUND], ids=["full grid", "foreground"])
def test_the_path_is_bit_equal_to_the_cpus(preset):
    import torch

    free = []
    for _ in range(3):
        engine = PlaceEngine(preset, 4)
        for count, maps in ((3, True), (7, False), (33, True), (33, False)):
            images, ids = slices_of(preset, count), np.arange(count) + 5
            found = [score_slices(images, ids, engine, preset, maps=maps) for _ in range(3)]
            for again in found:
                same(again, score_slices(images, ids, Host(), preset, maps=maps))
        assert all(place.graph is not None for place in engine.places.values())
        engine.close()
        torch.cuda.empty_cache()
        free.append(engine.cuda.free_bytes())
    assert free[2] >= free[1]  # the first one loads kernels, which stay
