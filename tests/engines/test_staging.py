"""Raw voxels go up and come to the grid on a GPU that is not there: the host's slices and scores, bytes counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.gpu_machine import CASES, install, same
from helpers.marks import slow
from helpers.raw_scans import raw_of, scan_of
from maescan.engines import torchscript
from maescan.engines.cuda import padded
from maescan.engines.tensorrt import SPARE
from maescan.method.preprocess import raw_slices
from maescan.method.raw import MOST_BYTES, RawSlices
from maescan.method.score import score_slices
from maescan.method.tokens import token_sets

TAPS = 34_304
"""Bytes of the way of 240 x 240 voxels to a grid of 224 x 224."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "small-fg", *slow("tiny", "brats-fg", "luna16", "ssim")])
@pytest.mark.parametrize("whole", [False, True])
def test_scores_are_those_of_slices_made_on_the_host(engine_of, monkeypatch, tmp_path, name, whole):
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2, 4))
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of(name, "fp32", whole=whole and name != "ssim")
    engine, raw = made.load(), raw_of(made.preset)
    images, ids = raw.extracted(), np.arange(len(raw)) + 5
    sets = token_sets(images, made.preset)
    assert images.shape == raw.shape and (images != images[0, 0, 0]).any(axis=(1, 2)).all()
    for maps in (False, True):
        found = score_slices(raw, ids, engine, made.preset, maps=maps, sets=sets)
        same(found, score_slices(images, ids, engine, made.preset, maps=maps))
    same(score_slices(raw, ids, engine, made.preset), score_slices(images, ids, engine, made.preset))
    assert {shape.raw for shape, _ in engine.places} == {False, True}
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


def test_voxels_and_taps_go_up_and_no_slices(engine_of, monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small", whole=True)
    engine, (part,) = made.load(), raw_slices(scan_of(made.preset, 40, 8), made.preset).parts
    raw, ids = RawSlices((part,)), np.arange(8)
    score_slices(raw, ids, engine, made.preset)
    cuda.up = cuda.down = cuda.launches = cuda.calls = cuda.kernels.called = 0
    score_slices(raw, ids, engine, made.preset)
    taps = sum(padded(array.nbytes) for array in part.arrays()[1:])
    assert cuda.up == padded(8 * 40 * 46 * 2) + taps + 8 * 8 and taps < 8 * 1024 and cuda.down == 8 * 12
    assert cuda.launches == 1 and cuda.kernels.called == 1 and cuda.calls == 1 + 1 + 1 + 1, "a copy more than slices"
    engine.close()


def test_the_next_batch_goes_up_beside_the_one_that_is_computed(engine_of, monkeypatch, tmp_path):
    """So a stream for copies alone would have nothing to win: docs/gpu.md."""
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2, 4))
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small", whole=True)
    engine, raw, order = made.load(), raw_slices(scan_of(made.preset, 40, 20), made.preset), []
    score_slices(raw, range(20), engine, made.preset)
    for name, call in (("up", "cudaMemcpyAsync"), ("launch", "cudaGraphLaunch"), ("wait", "cudaStreamSynchronize")):
        real = getattr(cuda, call)
        noted = lambda *given, name=name, real=real: (order.append((name, given[-1])), real(*given))[1]  # noqa: E731
        monkeypatch.setattr(cuda, call, noted)
    score_slices(raw, range(20), engine, made.preset)
    one, two = (slot.stream for slot in engine._slots)
    begun = [("up", one), ("launch", one), ("up", two), ("launch", two)]
    steady = [("wait", one), *begun[:2], ("wait", two), *begun[2:], ("wait", one), *begun[:2]]
    assert order == [*begun, *steady, ("wait", two), ("wait", one)]
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("maps", [False, True])
def test_bytes_of_a_slice_of_brats(engine_of, monkeypatch, tmp_path, maps):
    """docs/gpu.md has these figures."""
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("brats", "fp16", whole=True)
    engine, scan = made.load(), scan_of(made.preset, 240, 32)
    scan = replace(scan, voxels=np.ascontiguousarray(scan.voxels[:, :240]))
    raw, ids = raw_slices(scan, made.preset), np.arange(32)
    score_slices(raw, ids, engine, made.preset, maps=maps)
    cuda.up = cuda.down = cuda.launches = cuda.calls = 0
    score_slices(raw, ids, engine, made.preset, maps=maps)
    assert (cuda.up, cuda.launches, cuda.calls) == (32 * (240 * 240 * 2 + 8) + TAPS, 1, 4)
    assert cuda.down == 32 * (12 + (2 * 224 * 224 * 4 if maps else 0))
    engine.close()


def test_a_place_of_torch_makes_the_same_slices(monkeypatch):
    monkeypatch.setattr(torchscript, "SIZES", (1, 2, 4))
    import torch

    from maescan.engines.place import Shape
    from maescan.method.engine import TokenBatch

    preset, cpu = CASES["ssim"], torch.device("cpu")
    raw, shape = raw_of(preset), Shape(4, 16, True, True, raw=True)
    grid = np.tile(np.arange(16, dtype=np.int32), (3, 1))
    networks = {"mae": lambda visible, ids, keep, restore: torch.zeros(*restore.shape, 64)}
    place = torchscript.TorchPlace(networks, preset, shape, torchscript.Lane(cpu))
    for first, parts in ((2, [3]), (0, [2, 1])):
        given = raw[first : first + 3]
        assert [len(part) for part in given.parts] == parts
        place.start(TokenBatch(given, np.arange(3), grid, np.repeat(grid, 4, axis=0), True))
        place.result()
        assert np.array_equal(place._up["images"][:3].numpy(), given.extracted())


def test_what_the_kernel_cannot_make_alone_is_made_on_the_host(engine_of, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine, standard = made.load(), made.preset.replace(intensity__method="standard")
    raw = raw_slices(scan_of(standard, 40, 3), standard)
    assert not raw.for_devices
    same(
        score_slices(raw, range(3), engine, made.preset), score_slices(raw.extracted(), range(3), engine, made.preset)
    )
    assert not any(shape.raw for shape, _ in engine.places)
    engine.close()


def test_more_voxels_than_before_get_more_memory(engine_of, monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine, held = made.load(), []
    for side in (40, 90, 40, 40):
        raw = raw_slices(scan_of(made.preset, side, 2), made.preset)
        found = score_slices(raw, range(2), engine, made.preset)
        same(found, score_slices(raw.extracted(), range(2), engine, made.preset))
        held.append((len(cuda.memory), sum(size for size, *_ in cuda.memory.values())))
    assert held[0] < held[1] == held[2] == held[3] and held[0][0] == held[1][0], "in the place of what there was"
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.slow
def test_memory_for_raw_voxels_is_kept_free(engine_of, monkeypatch, tmp_path):
    """Slices that are as large as may go up raw, on a card that holds those of the second batch size."""
    install(monkeypatch, tmp_path, memory=SPARE + (24 << 20))
    made = engine_of("small")
    engine, raw = made.load(), raw_slices(scan_of(made.preset, 720, 20), made.preset)
    assert 0.98 * MOST_BYTES < raw.nbytes / len(raw) <= MOST_BYTES and raw.for_devices
    score_slices(raw, range(20), engine, made.preset)
    taps = sum(array.nbytes for array in raw.parts[0].arrays()[1:])
    assert engine.most == 8 and {shape.raw for shape, _ in engine.places} == {True}
    assert engine.cuda.free_bytes() > SPARE - 2 * 8 * taps
    larger = raw_slices(scan_of(made.preset, 730, 2), made.preset)
    assert not larger.for_devices
    engine.close()
