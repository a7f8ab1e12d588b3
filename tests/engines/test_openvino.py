"""OpenVINO's halves of a batch: rows beside each other, joined in their order, none of them lost."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

openvino = pytest.importorskip("openvino")

from maescan.config import PRESETS  # noqa: E402
from maescan.engines.openvino import OpenVinoEngine, _split  # noqa: E402

IDS = np.tile(np.arange(4, dtype=np.int32), (7, 1))


@pytest.fixture
def folder(tmp_path):
    """A classifier that answers with the mean of a row."""
    from openvino import opset13 as ops

    patches = ops.parameter([-1, -1, 4], np.float32, name="patches")
    ids = ops.parameter([-1, -1], np.int32, name="token_ids")
    mean = ops.reduce_mean(patches, np.array([1, 2]), keep_dims=False)
    nothing = ops.reduce_sum(ops.convert(ids, np.float32), np.array([1]), keep_dims=False)
    model = openvino.Model([ops.add(mean, ops.multiply(nothing, np.float32(0)))], [patches, ids], "classifier")
    openvino.save_model(model, tmp_path / "classifier.xml", compress_to_fp16=False)
    return tmp_path


@pytest.mark.parametrize(("threads", "parts"), [(1, 1), (2, 2), (9, 2)])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_halves_are_joined_in_order(folder, threads, parts, rows):
    engine = OpenVinoEngine(folder, {"precision": "fp32"}, device="cpu", threads=threads, preset=PRESETS["tiny"])
    tokens = np.arange(7, dtype=np.float32)[:rows, None, None] * np.ones((1, 4, 4), np.float32)
    assert engine.parts == parts and engine.name == "openvino-fp32"
    assert engine.classify(tokens, IDS[:rows]).tolist() == list(range(rows))
    assert engine.classify(tokens[::-1], IDS[:rows]).tolist() == list(range(rows))[::-1], "whatever its strides"
    engine.close()


def test_narrow_networks_take_larger_batches(folder):
    found = {
        name: OpenVinoEngine(folder, {"precision": "fp32"}, device="cpu", threads=1, preset=PRESETS[name]).batch
        for name in ("tiny", "brats-fast", "brats", "brats+")
    }
    assert found == {"tiny": 32, "brats-fast": 32, "brats": 8, "brats+": 8}


def test_an_answer_is_the_callers_own(folder):
    """The next call would write over a request's own memory."""
    engine = OpenVinoEngine(folder, {"precision": "fp32"}, device="cpu", threads=2, preset=PRESETS["tiny"])
    first = engine.classify(np.ones((3, 4, 4), np.float32), IDS[:3])
    engine.classify(np.zeros((3, 4, 4), np.float32), IDS[:3])
    assert first.tolist() == [1, 1, 1]


@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_are_dealt_evenly_and_once(rows, count):
    parts = _split((np.arange(rows), np.arange(rows) * 10), count)
    assert len(parts) == min(rows, count) and all(len(first) > 0 for first, _ in parts)
    assert np.concatenate([first for first, _ in parts]).tolist() == list(range(rows))
    assert all((second == first * 10).all() for first, second in parts)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import openvino; "])
def test_tools_that_convert_models_are_loaded_once_they_are_used(before):
    code = (
        f"import sys; {before}from maescan.engines.openvino import runtime, TOOLS; found = runtime();"
        " print(TOOLS in sys.modules, callable(found.convert_model), sys.modules.get(TOOLS, 0) is None)"
        "\ntry:\n    found.convert_model('no-such-model.onnx')\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        "print(TOOLS in sys.modules, found is runtime())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    words = done.stdout.split()
    assert words[:3] == [str(bool(before)), "True", "False"] and words[3] != "AttributeError", done.stderr
    assert words[4:] == ["True", "True"]


def test_a_small_model_is_compiled_once_for_its_settings_and_answers_the_same(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokens, real = np.random.default_rng(0).random((7, 4, 4), np.float32), openvino.Core.compile_model
    compiled = []
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *given: compiled.append(given[1]) or real(*given))

    def answers(threads=2):
        engine = OpenVinoEngine(folder, {"precision": "fp32"}, device="cpu", threads=threads, preset=PRESETS["tiny"])
        found = engine.classify(tokens, IDS)
        engine.close()
        return found

    first = answers()
    assert np.array_equal(answers(), first) and len(compiled) == 1
    assert np.array_equal(answers(threads=1), first) and len(compiled) == 2
    for file in (tmp_path / "cache" / "maescan" / "openvino").iterdir():
        content = file.read_bytes()[32:]
        spoilt = content[: len(content) // 2]
        file.write_bytes(hashlib.sha256(spoilt).digest() + spoilt)  # OpenVINO itself must refuse it
    assert np.array_equal(answers(), first) and len(compiled) == 3
    (folder / "classifier.bin").write_bytes((folder / "classifier.bin").read_bytes() + b"x")
    answers()
    assert len(compiled) == 4


@pytest.mark.parametrize("bad", [(np.ones((7, 4, 4)), IDS[:, :3]), (np.ones((7, 4, 3)), IDS), (np.ones(7), IDS)])
def test_a_batch_that_fails_costs_no_other(folder, bad):
    engine = OpenVinoEngine(folder, {"precision": "fp32"}, device="cpu", threads=2, preset=PRESETS["tiny"])
    good = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            np.testing.assert_equal(engine.classify(bad[0].astype(np.float32), bad[1]).shape, "refused")
        assert engine.classify(good, IDS).tolist() == list(range(7))


def test_a_model_of_another_format_is_refused(tmp_path):
    """As OpenVINO's it would run; ONNX may name files outside of the bundle for its weights."""
    helper = pytest.importorskip("onnx").helper
    float32, shape = 1, ["rows", 4]
    put, taken = (helper.make_tensor_value_info(name, float32, shape) for name in ("tokens", "score"))
    graph = helper.make_graph([helper.make_node("Neg", ["tokens"], ["score"])], "other", [put], [taken])
    (tmp_path / "classifier.xml").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ValueError, match="is no XML of OpenVINO's"):
        OpenVinoEngine(tmp_path, {"precision": "fp32"}, device="cpu", threads=1, preset=PRESETS["tiny"])
