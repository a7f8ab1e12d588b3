"""What a lane of graphs does when a capture fails, with a stand-in for torch's graphs; and what networks run as."""

from __future__ import annotations

import contextlib
import warnings
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.gpu_machine import CASES, slices_of
from helpers.torchscript_files import VALUES, networks_in
from maescan.engines import torchscript
from maescan.engines.torch_place import Lane
from maescan.engines.torchscript import GraphEngine
from maescan.errors import DeviceLostError, EngineError
from maescan.method.score import score_slices


class Cuda:
    """As much of torch.cuda as a lane needs. As torch 2.11: a capture that failed leaves its pool recording."""

    def __init__(self, monkeypatch):
        self.pools, self.recording, self.captures, cuda = 0, set(), [], self

        class Graph:
            def capture_begin(self, pool=None, capture_error_mode="global"):
                if pool in cuda.recording:
                    raise RuntimeError("beginAllocateToPool: already recording to mempool_id")
                assert capture_error_mode == "thread_local"
                self.pool = pool
                cuda.captures.append(pool)

            def capture_end(self):
                if cuda.broken:
                    cuda.recording.add(self.pool)
                    raise RuntimeError("capture_end failed")

        class Stream:
            def synchronize(self):
                cuda.broken = False

        self.broken = False
        replaced = {
            "CUDAGraph": Graph,
            "Stream": lambda where: Stream(),
            "graph_pool_handle": self.pool,
            "stream": lambda stream: contextlib.nullcontext(),
            "current_device": lambda: 0,
        }
        for name, made in replaced.items():
            monkeypatch.setattr(torch.cuda, name, made)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda at, pool: self.recording.discard(pool),
                            raising=False)  # fmt: skip
        zeros = torch.zeros
        monkeypatch.setattr(torch, "zeros", lambda *shape, device=None: zeros(*shape))

    def pool(self):
        self.pools += 1
        return self.pools

    def fail(self):
        self.broken = True
        raise RuntimeError("operation not permitted when stream is capturing")


def test_graphs_of_a_lane_share_memory_and_a_failed_capture_ends(monkeypatch):
    cuda = Cuda(monkeypatch)
    lane = Lane(torch.device("cuda:0"))
    first, second = lane.capture(lambda: None), lane.capture(lambda: None)
    assert first.pool == second.pool
    with pytest.raises(RuntimeError, match="capture_end failed") as raised:
        lane.capture(cuda.fail)
    assert "not permitted" in str(raised.value.__context__)
    assert not cuda.recording and cuda.captures[-1] is None  # one of no pool, which works
    third, fourth = lane.capture(lambda: None), lane.capture(lambda: None)
    assert third.pool == fourth.pool != first.pool
    del third, fourth
    assert lane.capture(lambda: None).pool != first.pool


def test_a_pool_whose_graphs_are_gone_is_not_taken_again(monkeypatch):
    Cuda(monkeypatch)
    lane = Lane(torch.device("cuda"))
    first = lane.capture(lambda: None)
    gone = first.pool
    del first
    assert lane.capture(lambda: None).pool != gone


def test_convolutions_in_float32_do_not_round_to_tf32():
    """A GPU rounds so wherever torch's flag was on when the network was traced, as it is by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.freeze(torch.jit.trace(torch.nn.Conv2d(1, 2, 3).eval(), torch.zeros(1, 1, 8, 8)))
    (node,) = network.graph.findAllNodes("aten::_convolution")
    allowed = [value.toIValue() for value in node.inputs()][-1]
    assert allowed is True
    x = torch.rand(1, 1, 8, 8)
    wanted = network(x)
    torchscript.settle(network)
    assert [value.toIValue() for value in node.inputs()][-1] is False
    assert torch.equal(network(x), wanted)


@pytest.fixture
def engine(tmp_path):
    """Places that run step by step on the CPU."""
    preset = CASES["small"]
    made = GraphEngine(networks_in(tmp_path, preset, "fp32"), VALUES, device="cpu", threads=None, preset=preset)
    yield made
    made.close()


def test_a_place_works_on_its_own_stream_and_waits_for_it(engine, monkeypatch):
    """Inputs, networks and answers are enqueued on it; a capture comes after plain runs there, and these after what
    the default stream has copied."""
    score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)
    (place,) = engine.places.values()
    events = []
    side = SimpleNamespace(synchronize=lambda: events.append("waits"), wait_stream=lambda other: events.append(other))

    @contextlib.contextmanager
    def on(stream):
        assert stream is side
        events.append("on")
        yield
        events.append("off")

    work, place._side = place._work, side
    place._work = lambda: (events.append("works"), work())
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "default")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: events.append("all wait"))
    score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)
    assert events == ["on", "works", "off", "waits"]
    events.clear()
    place.lane = SimpleNamespace(warm=2, capture=lambda work: events.append("captured"))
    place._capture()
    assert events == ["default", "on", "works", "works", "off", "all wait", "captured"]
    place._side = None


def test_closing_leaves_no_network_in_a_place(engine):
    score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)
    (place,) = engine.places.values()
    engine.close()
    assert not place.networks


@pytest.mark.parametrize(
    ("error", "remedy"), [(torch.OutOfMemoryError("CUDA out of memory"), "smaller --batch"),
                          (RuntimeError("CUDA error: an illegal instruction\nmore"), "--device cpu")]
)  # fmt: skip
def test_what_torch_refuses_is_an_error_with_a_remedy(engine, error, remedy):
    engine.networks["classifier"] = refuse(error)
    with pytest.raises(EngineError) as raised:
        score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)
    assert raised.value.reason == f"torch: {str(error).splitlines()[0]}" and remedy in raised.value.remedy


def test_what_an_attempt_took_is_free_before_the_next(engine, monkeypatch):
    """An error holds the frames that it came through, and those what they took: nothing is free while it is there."""
    taken, events = [], []

    class Place(torchscript.TorchPlace):
        def __init__(self, *given):
            mine = Cycle()
            taken.append(weakref.ref(mine))
            if len(taken) == 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(*given)
            del mine

    def emptied():
        events.append((taken[-1]() is None, [key[1] for key in engine.places]))

    monkeypatch.setattr(torchscript, "TorchPlace", Place)
    monkeypatch.setattr(torchscript, "SIZES", (1, 2, 4))
    monkeypatch.setattr(torch.cuda, "empty_cache", emptied)
    images, ids = slices_of(engine.preset, 8), np.arange(8)
    wanted = score_slices(images, ids, engine, engine.preset)
    score_slices(images[:1], ids[:1], engine, engine.preset)
    assert all(place.lane is engine.lanes[turn] for (_, turn), place in engine.places.items())
    found = score_slices(images, ids, engine, engine.preset, maps=True)
    assert np.array_equal(found.score, wanted.score)
    assert events == [(True, [1])], "the places of its stream make room, those of the other may be at work"


class Cycle:
    """Something whose end can be seen."""


def refuse(error):
    def call(*_, **__):
        raise error

    return call


FAULT = RuntimeError("CUDA error: unspecified launch failure\nmore")


def test_a_gpu_that_is_lost_is_told_from_a_call_that_failed(engine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    assert type(torchscript.refusal(FAULT, "cuda:1")) is EngineError
    monkeypatch.setattr(torch.cuda, "synchronize", refuse(FAULT))
    with pytest.raises(DeviceLostError, match=r"launch failure \(start the command again"):
        torchscript.refusal(FAULT, "cuda:1")
    assert type(torchscript.refusal(torch.OutOfMemoryError("CUDA out of memory"), "cuda:1")) is EngineError
    for error in (FAULT, EngineError("patchify cannot run: CUDA: unspecified launch failure")):
        engine.networks["classifier"] = refuse(error)
        monkeypatch.setattr(engine, "device", torch.device("cuda:1"))  # its places stay on the CPU
        with pytest.raises(DeviceLostError, match="launch failure"):
            score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)


def test_closing_a_gpu_that_is_lost_raises_nothing(engine, monkeypatch):
    score_slices(slices_of(engine.preset, 3), np.arange(3), engine, engine.preset)
    (place,) = engine.places.values()
    place._side = SimpleNamespace(synchronize=refuse(FAULT))
    monkeypatch.setattr(engine, "device", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "empty_cache", refuse(FAULT))
    engine.close()
    assert not place.networks


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"), "has the GPU to itself"),
     (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), "end other programs"),
     (RuntimeError("CUDA error: CUDA driver version is insufficient for CUDA runtime version"), "NVIDIA's driver"),
     (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "maescan doctor"),
     (torch.OutOfMemoryError("CUDA out of memory"), "end other programs"),
     (AssertionError("Torch not compiled with CUDA enabled"), "a torch that was built with CUDA")],
)  # fmt: skip
def test_a_gpu_that_torch_cannot_use_is_not_the_file_s_fault(tmp_path, monkeypatch, error, remedy):
    """Nor is it lost: without a context, CUDA refuses every call."""
    preset = CASES["small"]
    folder = networks_in(tmp_path, preset, "fp32")
    if "kernel image" not in str(error):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "synchronize", refuse(error))
    for name, where in (("zeros", torch), ("load", torch.jit)):
        with monkeypatch.context() as patch, pytest.raises((EngineError, type(error))) as raised:
            patch.setattr(torch, "zeros", lambda *_, **__: None)
            patch.setattr(where, name, refuse(error))
            patch.setattr(torchscript, "require_cuda", lambda: None)
            patch.setattr(torchscript, "require_gpu", lambda device: device)
            GraphEngine(folder, VALUES, device="cuda", threads=None, preset=preset)
        assert not isinstance(raised.value, DeviceLostError)
        ours = name == "zeros" or isinstance(error, torch.OutOfMemoryError)
        assert isinstance(raised.value, EngineError) == ours and (not ours or remedy in raised.value.remedy)


def test_of_torchscript_s_errors_the_last_line_is_the_reason():
    said = "The following operation failed in the TorchScript interpreter.\nTraceback\n\nRuntimeError: CUDA error\n"
    assert torchscript.first_line(RuntimeError(said)) == "RuntimeError: CUDA error"
    assert torchscript.first_line(RuntimeError("")) == "RuntimeError"
