"""Every target that can be built here, on a tiny model: built, proved on the golden slices, refused when damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers.bundles import SMALL, a_run, engine_file, reseal
from maescan import engines, export
from maescan.engines import verify
from maescan.engines.bundle import Bundle
from maescan.engines.golden import TOLERANCE, golden_drift
from maescan.errors import BundleError, ConfigError, DataError, EngineError
from maescan.machine import cpu_features

pytestmark = pytest.mark.slow

BUILT = ("openvino-fp32", "openvino-bf16", "openvino-int8", "torchscript-fp32", "torchscript-fp16",
         "torchscript-bf16", "onnx-fp32", "onnx-fp16", "tensorrt-rtx-fp16", "tensorrt-rtx-bf16")  # fmt: skip
RUN = BUILT[:8]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def all_targets(exported_bundle, tmp_path_factory):
    """A bundle from a run, its other engines added later."""
    path = shutil.copytree(exported_bundle, tmp_path_factory.mktemp("targets") / "bundle")
    export.export(exported_bundle.parent / "run", path, to=("openvino",), precision=("bf16", "int8"))
    return export.export(path, path, to=("torchscript", "onnx", "tensorrt-rtx"), precision=("fp32", "bf16", "fp16"))


@pytest.fixture
def bundle(all_targets, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(all_targets, tmp_path / "bundle")


def test_every_target_is_built_and_says_how(bundle):
    found = Bundle.load(bundle).engines()
    assert set(found) == set(BUILT)
    for name, values in found.items():
        assert values["tolerance"] == TOLERANCE[values["precision"]] and len(values["versions"]) >= 2
        assert (values["drift"] is None) == (name not in RUN)


@pytest.mark.parametrize("name", RUN)
def test_golden_drift_of_each(bundle, name):
    target, _, precision = name.rpartition("-")
    loaded = Bundle.load(bundle)
    engine = engines.load(loaded, target=target, precision=precision, threads=1, trust=True)
    drift = golden_drift(loaded, engine)
    assert engine.name == name and all(drift[part] <= allowed for part, allowed in TOLERANCE[precision].items())
    wide = precision == "fp32" or (name == "openvino-bf16" and "avx512f" not in cpu_features())
    assert wide or drift["difference"] > 1e-5, "16 bits and less must show, where the CPU has them"
    engine.close()


@pytest.mark.parametrize("name", RUN)
def test_rows_do_not_depend_on_the_batch(bundle, name):
    target, _, precision = name.rpartition("-")
    engine = engines.load(Bundle.load(bundle), target=target, precision=precision, threads=1, trust=True)
    tokens = np.random.default_rng(0).random((5, 16, 64), np.float32)
    ids = np.tile(np.arange(16, dtype=np.int32), (5, 1))
    whole = engine.classify(tokens, ids)
    ones = np.concatenate([engine.classify(tokens[i : i + 1], ids[i : i + 1]) for i in range(5)])
    assert whole.shape == (5,) and whole.dtype == np.float32
    assert np.abs(whole - ones).max() <= (1e-5 if precision == "fp32" else 0.02)
    keep, restore = ids[:, :4].copy(), ids.copy()
    whole = engine.reconstruct(tokens[:, :4].copy(), ids, keep, restore)
    one = engine.reconstruct(tokens[4:, :4].copy(), ids[4:], keep[4:], restore[4:])
    assert whole.shape == (5, 16, 64) and np.abs(whole[4:] - one).max() <= (1e-5 if precision == "fp32" else 0.1)
    fewer = engine.classify(tokens[:, :7].copy(), ids[:, 3:10].copy())
    assert fewer.shape == (5,) and np.isfinite(fewer).all()


def poison(file):
    """One weight changed, as a bad download or a bad hand would: too large a number, a third into the file."""
    content = bytearray(file.read_bytes())
    at = len(content) // 12 * 4
    content[at : at + 4] = np.float32(1e4).tobytes()
    file.write_bytes(content)


def test_a_poisoned_engine_is_refused_with_the_numbers(bundle):
    poison(engine_file(bundle, "openvino-fp32", "mae.bin"))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"drifts .* difference by .* \(0.001 is allowed\)") as error:
        engines.load(Bundle.load(bundle), threads=1)
    assert error.value.path.parent == bundle / "engines" / "openvino-fp32"


@pytest.mark.parametrize(
    ("name", "file"),
    [("openvino-fp32", "mae.xml"), ("torchscript-fp32", "mae.pt"), ("onnx-fp32", "classifier.onnx")],
)
@pytest.mark.parametrize("content", [b"", b"foreign", "half"])
def test_a_truncated_or_foreign_engine_is_one_line(bundle, name, file, content):
    path = engine_file(bundle, name, file)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    reseal(bundle)
    with pytest.raises(EngineError, match="does not load") as error:
        engines.load(Bundle.load(bundle), target=name.split("-")[0], precision="fp32", threads=1, trust=True)
    assert "\n" not in str(error.value) and name in str(error.value) and "maescan export" in str(error.value)


def prove_here(bundle, name, device, limits, *, trust=False):
    """In this process, which has the libraries at hand; tests/engines/test_child.py is about others."""
    return engines.prove(bundle, bundle.engine_folder(name), bundle.engines()[name], device, trust=trust)


def test_verify_runs_what_can_run_and_names_what_is_refused(bundle, capsys, monkeypatch):
    monkeypatch.setattr(verify, "prove_apart", prove_here)
    poison(engine_file(bundle, "openvino-bf16", "mae.bin"))
    engine_file(bundle, "onnx-fp32", "mae.onnx").write_bytes(b"foreign")
    reseal(bundle)
    assert not verify.show(bundle, trust=True)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(lines) - {"signature", "golden", "personal"} == set(BUILT)
    assert "refused: drifts" in lines["openvino-bf16"] and "refused: does not load" in lines["onnx-fp32"]
    assert all(
        "drift on cpu: score" in lines[name] for name in ("openvino-fp32", "openvino-int8", "torchscript-fp32")
    )
    shutil.rmtree(bundle / "engines" / "onnx-fp32")
    engine_file(bundle, "openvino-bf16", "engine.json").unlink()
    reseal(bundle)
    assert verify.show(bundle, device="cpu") and "tensorrt" not in capsys.readouterr().out


def test_torchscript_runs_only_where_it_is_trusted(bundle, capsys):
    with pytest.raises(EngineError, match=r"can run any code.*--trust"):
        engines.load(Bundle.load(bundle), target="torchscript", threads=1)
    verify.show(bundle, device="cpu")
    assert "torchscript-fp32     not run: TorchScript can run any code" in capsys.readouterr().out


@pytest.mark.parametrize("tolerance", [{}, {"score": 1e9, "difference": 1e9}, {"score": float("inf")}])
def test_a_bundle_cannot_say_how_far_its_engines_may_drift(bundle, tolerance):
    file = engine_file(bundle, "openvino-bf16", "engine.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "tolerance": tolerance}))
    poison(engine_file(bundle, "openvino-bf16", "mae.bin"))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"drifts from the fp32 reference|is not as maescan writes it"):
        engines.load(Bundle.load(bundle), precision="bf16", threads=1)


def test_the_first_load_proves_and_the_next_remembers(bundle, monkeypatch):
    loaded = Bundle.load(bundle)
    engines.load(loaded, threads=1).close()
    monkeypatch.setattr("maescan.engines.golden.golden_drift", lambda *_: 1 / 0)
    engines.load(loaded, threads=1).close()
    with pytest.raises(ZeroDivisionError):
        engines.load(loaded, precision="bf16", threads=1)


def test_drift_that_is_no_number_is_refused(bundle, monkeypatch):
    nan = {"score": float("nan"), "difference": 0.0}
    monkeypatch.setattr("maescan.engines.golden.golden_drift", lambda *_: nan)
    with pytest.raises(BundleError, match="score by nan"):
        engines.load(Bundle.load(bundle), threads=1)


def test_unknown_targets_and_precisions_are_named(run_folder, exported_bundle, tmp_path):
    with pytest.raises(ConfigError, match="coreml"):
        export.export(run_folder, tmp_path / "b", to=("coreml",))
    with pytest.raises(ConfigError, match="lies inside a bundle"):
        export.export(run_folder, exported_bundle / "engines" / "more")
    with pytest.raises(ConfigError, match="int4"):
        export.export(run_folder, tmp_path / "b", precision=("fp32", "int4"))
    assert not (tmp_path / "b").exists()


def test_without_a_precision_a_target_has_its_most_exact(run_folder):
    assert export._wanted(("openvino", "tensorrt-rtx"), ()) == [("openvino", "fp32"), ("tensorrt-rtx", "fp16")]
    with pytest.raises(ConfigError, match="coreml"):
        export._wanted(("openvino", "coreml"), ())


def test_int8_needs_training_slices_which_no_bundle_holds(bundle):
    assert not list(bundle.rglob("quantisation*"))
    with pytest.raises(DataError, match=r"no training slices.*maescan export RUN --out"):
        export.add_engine(bundle, ("openvino",), ("int8",))
    assert Bundle.load(bundle).engines().keys() == set(BUILT)


def test_a_failed_build_leaves_nothing(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("maescan.export.openvino.build", lambda *_: (_ for _ in ()).throw(EngineError("no")))
    with pytest.raises(EngineError):
        export.export(run_folder, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_torchscript_loads_with_torch_alone(bundle):
    code = (
        "import sys, torch; m = torch.jit.load(sys.argv[1]); i = torch.arange(16, dtype=torch.int32)[None];"
        "print(m(torch.rand(1, 16, 64), i).shape[0], 'maescan.engines' in sys.modules)"
    )
    file = engine_file(bundle, "torchscript-fp32", "classifier.pt")
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert done.stdout.split(maxsplit=1) == ["1", "False\n"], done.stderr


def test_torch_tensorrt_says_what_is_missing(bundle):
    with pytest.raises(EngineError, match="torch_tensorrt is not installed") as error:
        export.add_engine(bundle, ("torch-tensorrt",), ("fp16",))
    assert "maescan[torch-tensorrt]" in error.value.remedy


def test_tensorrt_needs_neither_tensorrt_nor_a_gpu_to_be_exported(bundle):
    """The same ONNX as TensorRT-RTX's: the GPU box builds it at the first load."""
    export.add_engine(bundle, ("tensorrt",), ("fp16",))
    names = [engine_file(bundle, name, "mae.onnx").read_bytes() for name in ("tensorrt-fp16", "tensorrt-rtx-fp16")]
    assert names[0] == names[1] and Bundle.load(bundle).engines()["tensorrt-fp16"]["drift"] is None


def test_preset_travels(bundle):
    assert json.loads((bundle / "manifest.json").read_text())["preset"] == SMALL.to_dict()


def test_int8_keeps_the_maps_that_speak_to_the_score(bundle):
    """A layer with another name than those in quantise.KEPT would be quantised, and nothing would say so."""
    import openvino

    kept = set()
    for file in (bundle / "engines" / "openvino-int8").glob("*/*.xml"):
        for node in openvino.Core().read_model(file).get_ops():
            if node.get_type_name() == "MatMul":
                weight = node.input_value(1).get_node()
                while weight.get_type_name() != "Constant":
                    weight = weight.input_value(0).get_node()
                if weight.get_element_type().get_type_name() != "i8":
                    kept.add(f"{file.stem} {node.get_friendly_name().split('/')[0].rpartition('.')[2]}")
    assert kept == {"mae patch_embed", "mae decoder_pred",
                    "classifier patch_embed", "classifier head_map", "classifier head"}  # fmt: skip


def test_a_run_that_is_not_at_its_end_is_no_bundle(tmp_path):
    """A judge is there from its first best epoch on."""
    run = a_run(tmp_path)
    values = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**values, "phase": "judge"}))
    with pytest.raises(DataError, match="is not trained to its end: it is at 'judge'"):
        export.export(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_run_of_a_newer_maescan_is_refused_by_its_field(run_folder, tmp_path):
    """It was told to give a finished run, which it was."""
    run = shutil.copytree(run_folder, tmp_path / "run")
    known = json.loads((run / "preset.json").read_text())
    (run / "preset.json").write_text(json.dumps({**known, "novelty": 1}))
    with pytest.raises(DataError, match=r"unknown fields: novelty \(leave them out, or use the maescan that wrote"):
        export.export(run, tmp_path / "bundle")
