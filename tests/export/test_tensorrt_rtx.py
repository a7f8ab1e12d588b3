"""What TensorRT is given: ONNX that needs neither TensorRT nor a GPU to be made."""

from __future__ import annotations

import onnx
import pytest

from helpers.bundles import SMALL, a_run
from maescan.engines.bundle import Bundle
from maescan.export import export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fp8")
    made = Bundle.load(export(a_run(path, SMALL, 4), path / "bundle", to=("tensorrt-rtx",), precision=("fp8",)))
    assert made.engines()["tensorrt-rtx-fp8"]["drift"] is None
    return made.engine_folder("tensorrt-rtx-fp8")


def test_fp8_is_the_classifiers_and_the_mae_takes_and_gives_16_bits(folder):
    kinds = {}
    for name in ("mae", "classifier"):
        graph = onnx.load(folder / f"{name}.onnx").graph
        kinds[name] = {node.op_type for node in graph.node}
        types = [graph.input[0].type.tensor_type.elem_type, graph.output[0].type.tensor_type.elem_type]
        assert types == [onnx.TensorProto.FLOAT16 if name == "mae" else onnx.TensorProto.FLOAT] * 2
    assert "QuantizeLinear" in kinds["classifier"] and "QuantizeLinear" not in kinds["mae"]
    whole = onnx.load(folder / "scores.onnx", load_external_data=False).graph
    low = [node.name for node in whole.node if node.op_type == "QuantizeLinear"]
    assert len(low) == 7 and not any(node.op_type == "TopK" for node in whole.node), "ids come from the mask kernel"
    maps = [node.name for node in whole.node if node.op_type == "MatMul"]
    assert all(name.startswith(("mae/", "classifier/")) for name in maps)


def test_weights_lie_in_one_file_that_all_graphs_share(folder):
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    whole = _weights(folder / "scores.onnx")
    held = sum(len(content) for _, content in {*whole.values()})
    assert held <= sizes["weights.bin"] < held + 256 * len(whole), "nothing twice"
    assert all(sizes[f"{name}.onnx"] < 400_000 for name in ("mae", "classifier", "scores"))
    alone = [{f"{part}/{name}": value for name, value in _weights(folder / f"{part}.onnx").items()}
             for part in ("mae", "classifier")]  # fmt: skip
    assert whole == alone[0] | alone[1]


def _weights(file):
    """Name -> type and bytes of the weights that are large enough to be shared."""
    weights = onnx.load(file).graph.initializer
    return {weight.name: (weight.data_type, weight.raw_data) for weight in weights if len(weight.raw_data) >= 1024}
