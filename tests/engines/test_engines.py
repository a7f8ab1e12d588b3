"""The device asked for, or an error that says what is missing; scoring on a CPU without torch."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.bundles import a_run
from maescan import engines
from maescan import machine as device
from maescan.engines.bundle import Bundle
from maescan.engines.slots import Slot
from maescan.errors import EngineError
from maescan.export import export


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    return Bundle.load(
        export(a_run(folder), folder / "bundle", to=("openvino", "tensorrt-rtx"), precision=("fp32", "fp16"))
    )


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refused(bundle, **asked):
    with pytest.raises(EngineError) as error:
        engines.load(bundle, **asked)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_driver_is_said(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: None)
    assert "--device cuda: no NVIDIA driver" in refused(bundle, device="cuda")


def driver(count):
    """A CUDA driver of version 13.0 with `count` GPUs."""

    def put(pointer, value):
        pointer._obj.value = value
        return 0

    return SimpleNamespace(
        cuInit=lambda _: 0,
        cuDriverGetVersion=lambda pointer: put(pointer, 13000),
        cuDeviceGetCount=lambda pointer: put(pointer, count),
        cuDeviceGet=lambda pointer, index: put(pointer, index),
        cuDeviceGetName=lambda name, size, index: setattr(name, "value", b"NVIDIA Test") or 0,
    )


def test_no_gpu_is_said(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(0))
    assert "--device cuda:0: the driver finds no GPU" in refused(bundle, device="cuda:0")


def test_a_gpu_that_is_not_there_is_said(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(2))
    assert device.gpus() == ["NVIDIA Test"] * 2 and device.need_gpu("cuda:1") == 1
    assert "this machine has 2 GPUs" in refused(bundle, device="cuda:2")


def test_no_engine_for_the_device_names_those_there_are_and_the_command(bundle):
    text = refused(bundle, device="cuda", precision="bf16")
    assert "no bf16 engine for 'cuda'" in text and "openvino-fp32, tensorrt-rtx-fp16" in text
    assert f"maescan export {bundle.path} --to tensorrt-rtx --precision bf16" in text
    assert "--to openvino --precision int8" in refused(bundle, precision="int8")
    assert "no tensorrt-rtx engine for 'cpu'" in refused(bundle, target="tensorrt-rtx")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", ""])
def test_other_devices_are_unknown(bundle, name):
    assert f"there is no device '{name}'" in refused(bundle, device=name)


def test_a_missing_package_comes_with_its_command(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "needs a package" in refused(bundle) and "pip install maescan" in refused(bundle)


def test_an_engine_of_another_tensorrt_is_named(bundle):
    from maescan.engines.tensorrt import _check_version

    installed, folder = SimpleNamespace(__name__="tensorrt_rtx", __version__="1.7.1"), bundle.path / "engines" / "x"
    for target, built, fits in [
        ("tensorrt-rtx", "1.6.0", True),
        ("tensorrt-rtx", "1.8.0", False),
        ("tensorrt", "1.6.0", False),
        ("tensorrt", "1.7.1", True),
    ]:
        values = {"target": target, "precision": "fp16", "versions": {"tensorrt_rtx": built}}
        if fits:
            _check_version(installed, folder, values)
            continue
        with pytest.raises(EngineError, match=f"built by TensorRT {built}, this is 1.7.1") as error:
            _check_version(installed, folder, values)
        assert f"maescan export {bundle.path}" in error.value.remedy


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_halves_of_a_batch_are_joined_in_order(bundle, threads):
    engine = engines.load(bundle, threads=threads)
    tokens = np.random.default_rng(0).random((7, 16, 64), np.float32)
    ids = np.tile(np.arange(16, dtype=np.int32), (7, 1))
    alone = np.concatenate([engine.classify(tokens[i : i + 1], ids[i : i + 1]) for i in range(7)])
    assert np.ptp(alone) > 1e-3
    for rows in (1, 2, 5, 7):
        assert np.allclose(engine.classify(tokens[:rows], ids[:rows]), alone[:rows], atol=1e-6)
    engine.close()


SCORE = """
import sys
from pathlib import Path
if __name__ == "__main__":
    from maescan.scoring.options import EngineOptions, ScoreOptions
    from maescan.scoring.run import score_paths
    scans, bundle, out = map(Path, sys.argv[1:])
    summary = score_paths([scans], bundle, out, EngineOptions(threads=1), ScoreOptions(workers=1))
    print(summary.slices, "torch" in sys.modules, "nncf" in sys.modules)
"""


def test_scoring_on_a_cpu_leaves_torch_out(bundle, tmp_path):
    import nibabel

    voxels = np.random.default_rng(0).integers(200, 900, (24, 24, 3), dtype=np.int16)
    voxels[:4], voxels[-4:], voxels[:, :4], voxels[:, -4:] = 0, 0, 0, 0
    nibabel.Nifti1Image(voxels, np.diag([10.0, 10, 5, 1])).to_filename(tmp_path / "scan.nii.gz")
    (tmp_path / "score.py").write_text(SCORE)
    command = [sys.executable, tmp_path / "score.py", tmp_path / "scan.nii.gz", bundle.path, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "False", "False"], done.stderr


class Cuda:
    """The calls of cuda.bindings.runtime in order, on host memory; a launched graph does nothing."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")

    def __init__(self):
        self.calls, self.kept, self.live = [], [], 0

    def _memory(self, size):
        self.kept.append(np.zeros(size, np.uint8))
        self.live += 1
        return 0, self.kept[-1].ctypes.data

    def _free(self, pointer):
        self.live -= 1
        return (0,)

    cudaMalloc = cudaMallocHost = _memory
    cudaFree = cudaFreeHost = _free

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name.removeprefix("cuda"))
            return 0, 7

        return call


class Context:
    def __init__(self, calls, runs=True):
        self.calls, self.runs = calls, runs

    def set_input_shape(self, name, shape):
        self.rows = shape[0]

    def infer_shapes(self):
        return []

    def get_tensor_shape(self, name):
        return (self.rows, 2)

    def set_tensor_address(self, name, pointer):
        pass

    def execute_async_v3(self, stream):
        self.calls.append("run")
        return self.runs


def test_a_slot_captures_copy_run_copy_once_and_then_only_launches():
    cuda = Cuda()
    slot = Slot(cuda, Context(cuda.calls), {"x": (4, 3)}, {"x": np.dtype(np.float32)}, "y")
    batch = ["MemcpyAsync", "run", "MemcpyAsync"]
    captured = ["StreamBeginCapture", *batch, "StreamEndCapture", "GraphInstantiate", "GraphDestroy"]
    assert cuda.calls == ["StreamCreate", *batch, "StreamSynchronize", *captured]
    cuda.calls.clear()
    slot.start([np.ones((3, 3), np.float32)])
    assert slot.result().shape == (4, 2) and cuda.calls == ["GraphLaunch", "StreamSynchronize"]
    assert slot.host["x"].sum() == 9
    slot.close()
    assert cuda.live == 0


def test_a_batch_that_does_not_run_is_an_error():
    cuda = Cuda()
    with pytest.raises(EngineError, match="could not run"):
        Slot(cuda, Context(cuda.calls, runs=False), {"x": (4, 3)}, {"x": np.dtype(np.float32)}, "y")


def test_more_rows_than_a_slot_holds_run_in_turns(monkeypatch):
    from maescan.engines import tensorrt

    class Doubles:
        def __init__(self, cuda, context, shapes, types, output):
            self.rows, self.waiting = shapes["x"][0], None

        def start(self, arrays):
            assert self.waiting is None, "an answer would be lost"
            self.waiting = np.zeros((self.rows, 1), np.float32)
            self.waiting[: len(arrays[0])] = arrays[0] * 2

        def result(self):
            found, self.waiting = self.waiting, None
            return found

    monkeypatch.setattr(tensorrt, "Slot", Doubles)
    network = tensorrt.Network.__new__(tensorrt.Network)
    network.cuda, network.inputs, network.output, network.most, network.slots = None, ["x"], "y", 4, {}
    network.cache = SimpleNamespace(context=lambda: None)
    for rows in (1, 3, 4, 5, 8, 13, 19):
        x = np.random.default_rng(0).random((rows, 1), np.float32)
        assert np.array_equal(network.run(x), x * 2)
