"""One engine of a bundle: built by its target's module, its engine.json, proved where it can run."""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace

import pytest

from helpers.bundles import SMALL
from maescan.config import PRESETS
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE
from maescan.errors import EngineError
from maescan.export import engine

UNPASTED = PRESETS["tiny-fast"].replace(masks__paste=False)  # a judge whose path is no one graph


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Builds with a target's module that only writes what it was given."""
    importlib.import_module("maescan.export.whole")  # which takes more of the modules that are replaced
    bundle, calls = Bundle(tmp_path, {"preset": SMALL.to_dict(), "files": {}}, ""), []

    def build(folder, mae, classifier, given, precision):
        calls.append(precision)
        (folder / "mae.bin").write_text(f"{mae} {classifier}")
        return {"maker": "1.0"}

    module = SimpleNamespace(build=build)
    for name in ("torch_tensorrt", "tensorrt_rtx", "onnx"):
        monkeypatch.setitem(sys.modules, f"maescan.export.{name}", module)
    models = SimpleNamespace(mae="MAE", classifier="CLASSIFIER")
    monkeypatch.setattr("maescan.engines.eager.TorchEngine", lambda path, preset: models)
    monkeypatch.setattr(engine, "place_to_prove", lambda target, precision: ("cpu", "a CPU"))
    monkeypatch.setattr(engine, "prove", lambda *given, trust: {"score": 0.5, "difference": 0.25} if trust else None)
    return SimpleNamespace(bundle=bundle, calls=calls, module=module, folder=tmp_path / "made" / "engine")


def test_an_engine_says_how_it_was_made_and_proved(built):
    engine.build(built.bundle, built.folder, "torch-tensorrt", "fp16")
    values = json.loads((built.folder / "engine.json").read_text())
    assert values["versions"].keys() == {"maescan", "maker"}
    assert {**values, "seconds": None, "versions": None} == {
        "seconds": None,
        "target": "torch-tensorrt",
        "precision": "fp16",
        "versions": None,
        "device": "a CPU",
        "tolerance": TOLERANCE["fp16"],
        "drift": {"score": 0.5, "difference": 0.25},
    }
    assert built.calls == ["fp16"]
    assert (built.folder / "mae.bin").read_text() == "MAE CLASSIFIER"


def test_where_it_cannot_run_it_is_not_proved(built, monkeypatch):
    monkeypatch.setattr(engine, "place_to_prove", lambda target, precision: None)
    engine.build(built.bundle, built.folder, "tensorrt-rtx", "bf16")
    values = json.loads((built.folder / "engine.json").read_text())
    assert values["drift"] is None and values["device"] is None


def test_a_package_that_is_missing_comes_with_its_command(built):
    def build(*_):
        raise ImportError("No module named 'onnx'")

    built.module.build = build
    with pytest.raises(EngineError, match="cannot build onnx: No module named 'onnx'") as error:
        engine.build(built.bundle, built.folder, "onnx", "fp32")
    assert "pip install" in error.value.remedy and not (built.folder / "engine.json").exists()


def test_a_package_of_an_extra_comes_with_its_extra(built):
    """int8 without nncf said to install maescan, which was there; onnx was said to come by onnxruntime."""

    def build(*_):
        raise ModuleNotFoundError("No module named 'nncf'", name="nncf")

    built.module.build = build
    with pytest.raises(EngineError, match="cannot build onnx: No module named 'nncf'") as error:
        engine.build(built.bundle, built.folder, "onnx", "fp32")
    assert error.value.remedy.endswith("pip install 'maescan[train]'")


@pytest.mark.parametrize(
    ("target", "preset", "remedy"),
    [("torch-tensorrt", PRESETS["luna16+"], "torchscript"), ("tensorrt-rtx", UNPASTED, "torchscript"),
     ("tensorrt-rtx", PRESETS["tiny-fast"], None), ("onnx", UNPASTED, None),
     ("torch-tensorrt", PRESETS["luna16"], None)],
)  # fmt: skip
def test_a_judge_that_the_target_could_not_run_is_refused_before_there_is_a_gpu(built, target, preset, remedy):
    bundle = Bundle(built.bundle.path, {"preset": preset.to_dict(), "files": {}}, "")
    if remedy is None:
        engine.build(bundle, built.folder, target, "fp16")
        return
    with pytest.raises(EngineError, match="one graph of the whole path alone") as error:
        engine.build(bundle, built.folder, target, "fp16")
    assert remedy in error.value.remedy and not built.folder.exists()


@pytest.mark.parametrize("precision", ["fp8", "nvfp4"])
def test_a_judge_has_no_linear_maps_for_8_or_4_bits(built, precision):
    bundle = Bundle(built.bundle.path, {"preset": PRESETS["brats+"].to_dict(), "files": {}}, "")
    with pytest.raises(EngineError, match=f"{precision} is for a classifier's linear maps") as error:
        engine.build(bundle, built.folder, "tensorrt-rtx", precision)
    assert error.value.remedy == "export to tensorrt-rtx with --precision fp16" and not built.folder.exists()
