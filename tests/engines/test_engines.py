"""The device asked for, or an error that says what is missing; scoring on a CPU without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers.gpu_machine import driver
from maescan import engines
from maescan import machine as device
from maescan.benchmark.engines import runnable
from maescan.cli.demo import unpack
from maescan.engines.bundle import Bundle, put_engine
from maescan.engines.golden import TOLERANCE
from maescan.errors import EngineError
from maescan.export import add_engine
from maescan.files import write_json


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The demo's bundle, with an engine for a GPU that nothing here can run."""
    folder = tmp_path_factory.mktemp("engines")
    bundle, values = unpack(folder / "bundle"), {"target": "tensorrt-rtx", "precision": "fp16", "versions": {}}
    (folder / "engine").mkdir()
    values |= {"device": None, "tolerance": TOLERANCE["fp16"], "drift": None, "seconds": 0.0}
    write_json(folder / "engine" / "engine.json", values)
    put_engine(bundle, "tensorrt-rtx-fp16", folder / "engine")
    return Bundle.load(bundle)


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


def test_no_gpu_is_said(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(0))
    assert "--device cuda:0: the driver finds no GPU" in refused(bundle, device="cuda:0")


def test_a_gpu_that_is_not_there_is_said(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(2))
    assert device.gpus() == ["NVIDIA Test"] * 2 and device.require_gpu("cuda:1").number == 1
    assert "this machine has 2 GPUs" in refused(bundle, device="cuda:2")


def test_no_engine_for_the_device_names_those_there_are_and_the_command(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(1))
    text = refused(bundle, device="cuda", precision="bf16")
    assert "no bf16 engine for 'cuda'" in text and "openvino-fp32, tensorrt-rtx-fp16" in text
    assert f"maescan export {bundle.path} --to tensorrt-rtx --precision bf16" in text
    assert "--to openvino --precision int8" in refused(bundle, precision="int8")
    assert "no tensorrt-rtx engine for 'cpu'" in refused(bundle, target="tensorrt-rtx")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cpu:1", "", "cuda:", "cuda:01", "cuda:²", "cuda:-1"])
def test_other_devices_are_unknown(bundle, name):
    assert f"there is no device '{name}'" in refused(bundle, device=name)


def test_a_process_that_may_have_no_more_memory_is_not_told_to_export(bundle, monkeypatch):
    def no_memory(*_, **__):
        raise RuntimeError("Exception from core.cpp:\nstd::bad_alloc")

    monkeypatch.setattr("maescan.engines.openvino.OpenVinoEngine", no_memory)
    assert "the system gives no more memory" in refused(bundle) and "export" not in refused(bundle)


def test_a_missing_package_comes_with_its_command(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "needs a package" in refused(bundle) and "pip install maescan" in refused(bundle)


@pytest.mark.parametrize(
    ("capability", "asked", "reason", "command"),
    [
        (
            (9, 0),
            {},
            "tensorrt-rtx does not run on NVIDIA Test (compute capability 9.0)",
            "tensorrt --precision fp16",
        ),
        ((10, 0), {"precision": "fp16"}, "tensorrt-rtx does not run on", "tensorrt --precision fp16"),
        ((8, 7), {"target": "tensorrt-rtx"}, "tensorrt-rtx does not run on", "tensorrt --precision fp16"),
        ((12, 0), {"precision": "nvfp4"}, "has no nvfp4 engine", "tensorrt-rtx --precision nvfp4"),
    ],
)
def test_a_card_is_told_which_target_it_takes(bundle, monkeypatch, capability, asked, reason, command):
    monkeypatch.setattr(device, "_driver", lambda: driver(1, capability))
    text = refused(bundle, device="cuda", **asked)
    assert reason in text and f"maescan export {bundle.path} --to {command}" in text


@pytest.mark.parametrize(
    ("capability", "asked", "flags", "there"),
    [
        (None, {"target": "tensorrt"}, "--target", "openvino-fp32"),
        (None, {"target": "unheard"}, "--target", "openvino-fp32"),
        (None, {"precision": "fp8"}, "--precision", "openvino-fp32"),
        (None, {"target": "openvino", "precision": "fp16"}, "--target and --precision", "openvino-fp32"),
        ((8, 0), {"precision": "fp8"}, "--precision", "tensorrt-rtx-fp16"),
        ((7, 5), {"precision": "bf16"}, "--precision", "tensorrt-rtx-fp16"),
        ((8, 9), {"target": "openvino"}, "--target", "tensorrt-rtx-fp16"),
    ],
)
def test_where_no_export_makes_what_was_asked_what_is_there_is_named(
    bundle, monkeypatch, capability, asked, flags, there
):
    monkeypatch.setattr(device, "_driver", lambda: driver(1, capability or (9, 0)))
    text = refused(bundle, device="cuda" if capability else "cpu", **asked)
    named = "--target {} --precision {}".format(*there.rsplit("-", 1))
    assert f"(leave out {flags}, or ask for what runs here: {named})" in text
    gpu = device.require_gpu("cuda") if capability else None
    assert engines._choose(bundle, gpu, None, None) == there


def test_a_card_older_than_all_is_told_so(bundle, monkeypatch):
    monkeypatch.setattr(device, "_driver", lambda: driver(1, (6, 1)))
    assert "older than 7.5" in refused(bundle, device="cuda")


@pytest.mark.slow
def test_an_engine_that_no_gpu_here_can_run_is_exported_unproved(bundle, monkeypatch, tmp_path):
    """On a Hopper card a bundle for RTX cards is still made: for another machine."""
    monkeypatch.setattr(device, "_driver", lambda: driver(1, (9, 0)))
    path = add_engine(shutil.copytree(bundle.path, tmp_path / "bundle"), ("tensorrt-rtx",), ("fp16",))
    values = Bundle.load(path).engines()["tensorrt-rtx-fp16"]
    assert values["drift"] is None and values["device"] is None
    assert runnable(Bundle.load(path), "cuda") == []


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_halves_of_a_batch_are_joined_in_order(bundle, threads):
    engine = engines.load(bundle, threads=threads)
    tokens = np.random.default_rng(0).random((7, 16, bundle.preset.model.judge_features), np.float32)
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


@pytest.mark.slow
def test_scoring_on_a_cpu_leaves_torch_out(bundle, tmp_path):
    import nibabel

    voxels = np.random.default_rng(0).integers(200, 900, (24, 24, 3), dtype=np.int16)
    voxels[:4], voxels[-4:], voxels[:, :4], voxels[:, -4:] = 0, 0, 0, 0
    nibabel.Nifti1Image(voxels, np.diag([10.0, 10, 5, 1])).to_filename(tmp_path / "scan.nii.gz")
    (tmp_path / "score.py").write_text(SCORE)
    command = [sys.executable, tmp_path / "score.py", tmp_path / "scan.nii.gz", bundle.path, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "False", "False"], done.stderr
