"""What TensorRT is given: ONNX that needs neither TensorRT nor a GPU to be made."""

from __future__ import annotations

import onnx

from helpers.bundles import SMALL, a_run
from maescan.engines.bundle import Bundle
from maescan.export import export


def test_fp8_is_the_classifiers_and_the_mae_takes_and_gives_16_bits(tmp_path):
    run = a_run(tmp_path, SMALL, 4)
    made = Bundle.load(export(run, tmp_path / "bundle", to=("tensorrt-rtx",), precision=("fp8",)))
    folder = made.engine_folder("tensorrt-rtx-fp8")
    assert made.engines()["tensorrt-rtx-fp8"]["drift"] is None
    kinds = {}
    for name in ("mae", "classifier"):
        graph = onnx.load(folder / f"{name}.onnx").graph
        kinds[name] = {node.op_type for node in graph.node}
        types = [graph.input[0].type.tensor_type.elem_type, graph.output[0].type.tensor_type.elem_type]
        assert types == [onnx.TensorProto.FLOAT16 if name == "mae" else onnx.TensorProto.FLOAT] * 2
    assert "QuantizeLinear" in kinds["classifier"] and "QuantizeLinear" not in kinds["mae"]
