"""The engine of NVIDIA GPUs under stand-ins for CUDA and TensorRT: threads, memory, places, other releases."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest

from helpers.bundles import SMALL
from helpers.gpu_machine import install, same, slices_of
from helpers.trt_standin import Context
from maescan import engines, kernels
from maescan.engines import plans
from maescan.engines.tensorrt import TensorRtEngine
from maescan.errors import EngineError
from maescan.method.score import score_slices


def test_another_thread_is_on_the_engines_gpu(engine_of, monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small")
    engine = made.load("cuda:1")
    images, found = slices_of(made.preset, 5), []
    thread = threading.Thread(target=lambda: found.append(score_slices(images, range(5), engine, made.preset)))
    thread.start()
    thread.join()
    same(found[0], score_slices(images, range(5), engine, made.preset))
    closing = threading.Thread(target=engine.close)
    closing.start()
    closing.join()
    assert cuda.left() == (0, 0, 0, False)


@pytest.mark.slow
def test_places_stay_within_their_number(engine_of, monkeypatch, tmp_path):
    monkeypatch.setattr("maescan.engines.tensorrt.PLACES", 2)
    cuda, _ = install(monkeypatch, tmp_path)
    made = engine_of("small-fg")
    engine = made.load()
    for maps in (False, True):
        for count in (33, 2, 12):
            images = slices_of(made.preset, count)
            wanted = score_slices(images, range(count), made.host(), made.preset, maps=maps)
            same(score_slices(images, range(count), engine, made.preset, maps=maps), wanted)
            assert len(cuda.graphs) <= 4
    engine.close()
    assert cuda.left() == (0, 0, 0, False)


def test_less_memory_is_smaller_batches_and_too_little_is_said(engine_of, monkeypatch, tmp_path):
    made, found = engine_of("brats"), []
    for megabytes in (8000, 330, 260):
        install(monkeypatch, tmp_path, memory=megabytes << 20)
        try:
            engine = made.load()
            found.append(engine.most)
            engine.close()
        except EngineError as error:
            found.append(str(error))
    assert found[:2] == [32, 8] and "needs 2" in found[2] and "260 MB of the GPU are free" in found[2]


def test_a_slot_lends_what_the_network_that_wants_most_does(engine_of, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    monkeypatch.setattr(
        Context, "update_device_memory_size_for_shapes", lambda self: 1 << (20 if "patches" in self.shapes else 10)
    )
    made = engine_of("small")
    engine = made.load()
    score_slices(slices_of(made.preset, 3), np.arange(3), engine, made.preset)
    assert {slot.scratch_bytes for slot in engine._slots} == {1 << 20}
    engine.close()


def test_a_plan_that_comes_with_the_bundle_is_of_this_release(engine_of, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    source, folder = engine_of("small").folder, tmp_path / "bundle/engines/tensorrt-rtx-fp32/0123456789ab"
    folder.mkdir(parents=True)
    for network in ("mae", "classifier"):
        (folder / f"{network}.engine").write_bytes(plans.build(trt, source / f"{network}.onnx", SMALL, (8, 9)))
    values = {"target": "tensorrt-rtx", "precision": "fp32", "versions": {"tensorrt_rtx": "1.6.1.120"}}
    with pytest.raises(EngineError, match=r"was built by tensorrt_rtx 1\.6\.1\.120, this is 1\.7\.1\.116") as raised:
        TensorRtEngine(folder, values, device="cuda", threads=None, preset=SMALL)
    assert raised.value.remedy == f"maescan export {tmp_path}/bundle --to tensorrt-rtx --precision fp32"
    values["versions"] = {"tensorrt_rtx": trt.__version__}
    TensorRtEngine(folder, values, device="cuda", threads=None, preset=SMALL).close()
    trt.capability = (12, 0)
    with pytest.raises(EngineError, match="no plan for this GPU and TensorRT: unsupported cc, the plan is not for"):
        TensorRtEngine(folder, values, device="cuda", threads=None, preset=SMALL)


def test_kernels_for_cpus_alone_are_said_before_anything_is_built(engine_of, small_bundle, monkeypatch, tmp_path):
    _, trt = install(monkeypatch, tmp_path)
    assert engines.device_for(small_bundle, "auto") == "cuda:0"
    monkeypatch.setattr(kernels, "has_cuda", lambda: False)
    assert engines.device_for(small_bundle, "auto") == "cpu"
    with pytest.raises(EngineError, match="built without its kernels for GPUs") as raised:
        engines.load(small_bundle, device="gpu")
    assert re.search("MAESCAN_CUDA=ON .*pip install", raised.value.remedy) and not trt.builds


@pytest.mark.slow
def test_loading_a_bundle_proves_it_on_the_gpu(small_bundle, monkeypatch, tmp_path):
    cuda, _ = install(monkeypatch, tmp_path)
    engine = engines.load(small_bundle, device="cuda:1")
    assert engine.name == "tensorrt-rtx-fp16" and engine.batch == 128
    tokens, grid = np.random.default_rng(0).random((5, 16, 64), np.float32), np.tile(np.arange(16), (5, 1))
    assert engine.classify(tokens, grid).shape == (5,)
    assert engine.reconstruct(tokens[:, :4], grid, grid[:, :4], grid).shape == (5, 16, 64)
    engine.close()
    assert cuda.left() == (0, 0, 0, False)
