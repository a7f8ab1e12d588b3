"""onnxruntime runs whatever the files say: ports in their order, one network or two, every thread count alike."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from maescan.engines.onnx import OnnxEngine  # noqa: E402

IDS = np.tile(np.arange(4, dtype=np.int32), (3, 1))


def write(path, inputs, nodes):
    """A model of float `visible` or `patches` [N, T, P] and of ids; its answer is `result`."""
    from onnx import TensorProto, helper

    kind = {"visible": TensorProto.FLOAT, "patches": TensorProto.FLOAT}
    ports = [helper.make_tensor_value_info(name, kind.get(name, TensorProto.INT32), None) for name in inputs]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    operations = [helper.make_node(*node[:3], **node[3]) for node in nodes]
    graph = helper.make_graph(operations, "g", ports, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def folder(tmp_path):
    """mae: visible plus the ids of what is kept; classifier: the mean of its patches."""
    write(tmp_path / "mae.onnx", ["visible", "token_ids", "keep_ids", "restore_ids"],
          [("Cast", ["keep_ids"], ["float"], {"to": 1}), ("Add", ["visible", "float"], ["result"], {})])  # fmt: skip
    write(tmp_path / "classifier.onnx", ["patches", "token_ids"],
          [("ReduceMean", ["patches"], ["result"], {"axes": [1, 2], "keepdims": 0})])  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_it_runs_both_networks_with_arguments_in_their_order(folder, threads):
    engine = OnnxEngine(folder, {"precision": "fp32"}, device="cpu", threads=threads, preset=None)
    visible = np.random.default_rng(0).random((3, 4, 4), np.float32)
    keep = IDS[:, None] * 2
    assert np.allclose(engine.reconstruct(visible, IDS, keep, IDS), visible + keep, atol=1e-6)
    assert np.allclose(engine.classify(visible, IDS), visible.mean(axis=(1, 2)))
    assert engine.name == "onnx-fp32" and engine.version.startswith("onnxruntime ")
    engine.close()


def test_a_network_that_is_not_there_is_not_loaded(folder):
    (folder / "mae.onnx").unlink()
    engine = OnnxEngine(folder, {"precision": "fp16"}, device="cpu", threads=1, preset=None)
    assert engine.name == "onnx-fp16" and engine.classify(np.ones((3, 4, 4), np.float32), IDS).tolist() == [1, 1, 1]


def test_as_many_arguments_as_the_file_has_inputs(folder):
    write(folder / "classifier.onnx", ["patches"], [("ReduceMean", ["patches"], ["result"], {"axes": [1, 2]})])
    engine = OnnxEngine(folder, {"precision": "fp32"}, device="cpu", threads=1, preset=None)
    with pytest.raises(ValueError, match="zip"):
        engine.classify(np.ones((3, 4, 4), np.float32), IDS)
