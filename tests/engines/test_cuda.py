"""Every call of CUDA can fail, and leaves nothing behind."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from helpers.cuda_standin import Code
from helpers.gpu_machine import install, same, slices_of
from maescan.engines.cuda import Arena, Device, DeviceArray
from maescan.errors import DeviceLostError, EngineError
from maescan.method.score import score_slices


@pytest.mark.slow
def test_nothing_is_left_after_any_call_fails(engine_of, monkeypatch, tmp_path, caplog):
    """Each call of CUDA in turn fails once: an error names it, or a warning, of a capture; the next batch scores, and
    all is given back."""
    made, named = engine_of("small"), set()
    monkeypatch.setattr("maescan.engines.tensorrt.BATCHES", (1, 2))
    images, wanted = slices_of(made.preset, 3), None
    for fail_at in range(1, 10_000):
        cuda, _ = install(monkeypatch, tmp_path)
        cuda.fail_at = fail_at
        engine = None
        try:
            engine = made.load()
            wanted = wanted or score_slices(images, range(3), made.host(), made.preset)
            same(score_slices(images, range(3), engine, made.preset), wanted)
        except EngineError as error:
            named.add(str(error).split(":")[1].strip())
            if engine is not None:
                same(score_slices(images, range(3), engine, made.preset), wanted)
        finally:
            cuda.fail_at = 0
            if engine is not None:
                engine.close()
        assert cuda.left() == (0, 0, 0, False), fail_at
        if cuda.calls < fail_at:
            break
    assert {"cudaMalloc", "cudaMemcpyAsync", "cudaGraphLaunch", "cudaStreamSynchronize", "cudaSetDevice"} <= named
    for call in ("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"):
        assert f"no CUDA graph (CUDA: {call}" in caplog.text and call not in named


def test_a_gpu_that_is_lost_is_told_from_a_call_that_failed(engine_of, monkeypatch, tmp_path):
    """After a fault CUDA refuses every call, and so it does while the engine is closed."""
    made = engine_of("small")
    cuda, _ = install(monkeypatch, tmp_path)
    engine, images = made.load(), slices_of(made.preset, 3)
    score_slices(images, range(3), engine, made.preset)
    cuda.lost = True
    with pytest.raises(
        DeviceLostError, match=r"^the GPU is lost: CUDA: cudaDeviceSynchronize: .*start the command again"
    ):
        score_slices(images, range(3), engine, made.preset)
    engine.close()


def test_a_full_gpu_and_one_that_is_taken_come_with_what_to_do(monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path, memory=1 << 20)
    with ExitStack() as stack, pytest.raises(EngineError, match=r"cudaMalloc: .* \(end other programs on the GPU"):
        Device(cuda, 0).take(stack, 1 << 21)
    for number, remedy in (
        (35, "580 or newer"),
        (46, "the program that has the GPU to itself"),
        (1, "`maescan doctor`"),
    ):
        monkeypatch.setattr(cuda, "cudaSetDevice", lambda _, number=number: (Code(number),))
        with pytest.raises(EngineError, match=remedy):
            Device(cuda, 0).use()


def test_an_arena_that_is_full_says_so():
    arena = Arena(1024, 512)
    assert (arena.take(1), arena.take(256)) == (1024, 1280)
    with pytest.raises(EngineError, match="needs 768 bytes of a place of 512"):
        arena.take(1)


def test_a_device_array_is_seen_in_another_shape_only_of_its_size():
    array = DeviceArray(256, (2, 1, 3), "float32", 0)
    assert array.reshape(2, 3).shape == (2, 3) and len(array) == 2 and array.nbytes == 24
    with pytest.raises(ValueError, match="cannot see"):
        array.reshape(4)
