"""The GPU's path under a stand-in for CUDA: bit-equal to the CPU's, and everything counted."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.gpu_machine import CASES, install, same, slices_of
from helpers.marks import slow
from maescan.engines.place import CudaPlace
from maescan.errors import EngineError
from maescan.method.score import score_slices

FEW = ["small", "small-fg", "tiny-fg"]
REST = [*(name for name in CASES if name not in (*FEW, "judge", "hull")), "tiny", "brats", "luna16", "brats-fg",
        "luna16-official", "brats-official"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FEW, *slow(*REST)])
def test_the_path_is_bit_equal_to_the_cpus(engine_of, monkeypatch, tmp_path, name):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of(name, "fp16" if name == "small-fg" else "fp32")
    engine = made.load()
    host = made.host()
    for count, maps in ((3, True), (7, False), (11, False), (33, True)):
        images, ids = slices_of(made.preset, count), np.arange(5, 5 + count)
        same(
            score_slices(images, ids, engine, made.preset, maps=maps),
            score_slices(images, ids, host, made.preset, maps=maps),
        )
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.parametrize("seed", [*range(3), *slow(*range(3, 20))])
def test_no_order_of_streams_changes_a_score(engine_of, monkeypatch, tmp_path, seed):
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2, 4))
    install(monkeypatch, tmp_path, seed=seed)
    made = engine_of("small-fg")
    engine = made.load()
    images, ids = slices_of(made.preset, 9, seed), np.arange(9)
    same(
        score_slices(images, ids, engine, made.preset, maps=True),
        score_slices(images, ids, made.host(), made.preset, maps=True),
    )
    engine.close()


def test_bytes_and_launches_of_a_slice(engine_of, monkeypatch, tmp_path):
    """A slice and its id go up, three numbers come down, and a batch is one launch."""
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine = made.load()
    images, ids = slices_of(made.preset, 64), np.arange(64)
    score_slices(images, ids, engine, made.preset)
    cuda.up = cuda.down = cuda.launches = cuda.calls = cuda.kernels.called = 0
    score_slices(images, ids, engine, made.preset)
    assert (cuda.up, cuda.down, cuda.launches) == (64 * (32 * 32 * 4 + 8), 64 * 12, 2)
    assert cuda.calls == 1 + 2 + 2 and cuda.kernels.called == 0, "the device, two launches, two waits"
    engine.close()


def test_a_network_that_cannot_be_captured_runs_and_says_so(engine_of, monkeypatch, tmp_path, caplog):
    cuda, trt = install(monkeypatch, tmp_path)
    trt.capturable = False
    made = engine_of("small")
    engine = made.load()
    images = slices_of(made.preset, 40)
    found = score_slices(images, range(40), engine, made.preset)
    same(found, score_slices(images, range(40), made.host(), made.preset))
    assert not cuda.graphs and "cannot be captured" in caplog.text
    engine.close()


@pytest.mark.parametrize("name", ["small", "small-fg"])
def test_a_network_that_refuses_only_once_it_is_captured_runs_and_says_so(
    engine_of, monkeypatch, tmp_path, caplog, name
):
    cuda, trt = install(monkeypatch, tmp_path)
    made = engine_of(name)
    engine, trt.refuses_capture = made.load(), True
    images = slices_of(made.preset, 40)
    found = score_slices(images, range(40), engine, made.preset)
    same(found, score_slices(images, range(40), made.host(), made.preset))
    assert not cuda.graphs and "no CUDA graph (TensorRT could not run the batch" in caplog.text
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.parametrize("uneven", [8, 32])
def test_a_batch_that_wants_more_scratch_than_the_largest_has_its_own(engine_of, monkeypatch, tmp_path, uneven):
    """TensorRT nowhere says that larger shapes want more."""
    cuda, trt = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine, trt.uneven = made.load(), uneven
    for count in (40, 1, 8, 40):
        images = slices_of(made.preset, count)
        same(score_slices(images, range(count), engine, made.preset),
             score_slices(images, range(count), made.host(), made.preset))  # fmt: skip
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


def test_a_place_that_lacks_memory_takes_that_of_others(engine_of, monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine, images = made.load(), slices_of(made.preset, 8)
    score_slices(images, range(8), engine, made.preset)
    assert len(engine.places) == 1
    real, failed = CudaPlace._prepare, []

    def prepare(place):
        if engine.places and not failed:
            failed.append(place.shape)
            raise EngineError("CUDA: cudaMalloc: cudaErrorMemoryAllocation")
        real(place)

    monkeypatch.setattr(CudaPlace, "_prepare", prepare)
    same(score_slices(images[:1], [0], engine, made.preset), score_slices(images[:1], [0], made.host(), made.preset))
    assert failed and len(engine.places) == 1
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


def test_a_batch_that_fails_spoils_none_that_comes_after(engine_of, monkeypatch, tmp_path):
    """The other stream's batch is still under way then, and reads the memory that the next one is put into."""
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine = made.load()
    small, large = slices_of(made.preset, 64), slices_of(made.preset, 40)[::-1].copy()
    score_slices(small, range(64), engine, made.preset)
    wanted = score_slices(large, range(40), made.host(), made.preset)
    real = CudaPlace.start
    for seed in range(6):
        cuda.random.seed(seed)

        def start(place, batch):
            if place.slot is engine._slots[1]:
                raise EngineError("CUDA: cudaGraphLaunch: cudaErrorUnknown")
            real(place, batch)

        monkeypatch.setattr(CudaPlace, "start", start)
        with pytest.raises(EngineError, match="cudaGraphLaunch"):
            score_slices(small, range(64), engine, made.preset)
        monkeypatch.setattr(CudaPlace, "start", real)
        same(score_slices(large, range(40), engine, made.preset), wanted)
    engine.close()
