"""fp8 and nvfp4 for TensorRT: linear maps of an ONNX network between quantise and dequantise nodes.

Weights in fp8 have a scale per output channel, activations one per tensor, from training slices. nvfp4 has a scale
every 16 inputs, weights' in the file, activations' taken while it runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maescan.errors import EngineError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OPSETS = {"fp8": 19, "nvfp4": 23}
"""The first with the type. torch writes 20 at most, whose operations 23 still has as they were."""

KEPT = re.compile(r"patch_embed|head|decoder_pred|decoder_embed")
"""What stays in fp16: the first maps see differences near 0, the last ones speak to the score (see quantise.KEPT)."""

LARGEST = {"fp8": 448.0, "nvfp4": 6.0}
BLOCK = 16


def quantised(content: bytes, precision: str, inputs: list[dict[str, NDArray[np.generic]]]) -> bytes:
    """An ONNX network in fp16 with its linear maps in `precision`. inputs: what it is given, for the ranges.

    Raises EngineError where onnxruntime, which measures fp8's ranges, is missing.
    """
    import onnx

    model = onnx.load_from_string(content)
    rewriter = _Rewriter(model)
    ranges = _ranges(content, [node.input[0] for node in rewriter.maps()], inputs) if precision == "fp8" else {}
    rewriter.rewrite(precision, ranges)
    for domain in model.opset_import:
        domain.version = OPSETS[precision] if domain.domain in ("", "ai.onnx") else domain.version
    if precision == "nvfp4":
        model.opset_import.append(onnx.helper.make_opsetid("trt", 1))
    model.ir_version = 11 if precision == "nvfp4" else 9
    made: bytes = model.SerializeToString()
    return made


class _Rewriter:
    """The graph of a model, rebuilt node by node."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.weights = {weight.name: weight for weight in model.graph.initializer}
        self.done: dict[str, str] = {}

    def maps(self) -> list[NodeProto]:
        """The products with a weight that are quantised."""
        return [n for n in self.graph.node
                if n.op_type == "MatMul" and n.input[1] in self.weights and not KEPT.search(n.name)]  # fmt: skip

    def rewrite(self, precision: str, ranges: dict[str, float]) -> None:
        """Puts the maps between nodes of that precision, and drops the weights that nobody reads any more."""
        chosen = {node.name for node in self.maps()}
        nodes: list[NodeProto] = []
        for number, node in enumerate(list(self.graph.node)):
            if node.name in chosen:
                weight, tag = self._weight(node), f"q{number}"
                if precision == "fp8":
                    nodes += self._fp8(node, weight, tag, ranges)
                elif weight.shape[0] % BLOCK == 0:
                    nodes += self._nvfp4(node, weight, tag)
            nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        read = {name for node in nodes for name in node.input}
        kept = [weight for weight in self.graph.initializer if weight.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _weight(self, node: NodeProto) -> NDArray[np.float32]:
        from onnx import numpy_helper

        return numpy_helper.to_array(self.weights[node.input[1]]).astype(np.float32)

    def _put(self, name: str, kind: str, shape: tuple[int, ...], content: bytes) -> str:
        from onnx import TensorProto, helper

        dtype = getattr(TensorProto, kind)
        self.graph.initializer.append(helper.make_tensor(name, dtype, shape, content, raw=True))
        return name

    def _fp8(
        self, node: NodeProto, weight: NDArray[np.float32], tag: str, ranges: dict[str, float]
    ) -> list[NodeProto]:
        import ml_dtypes
        from onnx.helper import make_node

        scale = np.maximum(np.abs(weight).max(axis=0) / LARGEST["fp8"], 1e-6).astype(np.float16)
        values = np.clip(weight / scale.astype(np.float32), -448, 448).astype(ml_dtypes.float8_e4m3fn)
        self._put(f"{tag}_w", "FLOAT8E4M3FN", weight.shape, values.tobytes())
        self._put(f"{tag}_ws", "FLOAT16", scale.shape, scale.tobytes())
        self._put(f"{tag}_wz", "FLOAT8E4M3FN", scale.shape, b"\0" * scale.size)
        made = [make_node("DequantizeLinear", [f"{tag}_w", f"{tag}_ws", f"{tag}_wz"], [f"{tag}_wd"], axis=1)]
        source = node.input[0]
        if source not in self.done:
            step = np.float16(max(ranges[source], 1e-3) / LARGEST["fp8"])
            self._put(f"{tag}_s", "FLOAT16", (), step.tobytes())
            self._put(f"{tag}_z", "FLOAT8E4M3FN", (), b"\0")
            made.append(make_node("QuantizeLinear", [source, f"{tag}_s", f"{tag}_z"], [f"{tag}_q"]))
            made.append(make_node("DequantizeLinear", [f"{tag}_q", f"{tag}_s", f"{tag}_z"], [f"{tag}_d"]))
            self.done[source] = f"{tag}_d"
        node.input[0], node.input[1] = self.done[source], f"{tag}_wd"
        return made

    def _nvfp4(self, node: NodeProto, weight: NDArray[np.float32], tag: str) -> list[NodeProto]:
        import ml_dtypes
        from onnx import TensorProto
        from onnx.helper import make_node

        rows, columns = weight.shape
        whole = np.float32(np.abs(weight).max() / (LARGEST["nvfp4"] * LARGEST["fp8"]))
        blocks = weight.reshape(rows // BLOCK, BLOCK, columns)
        scales = np.clip(np.abs(blocks).max(axis=1) / LARGEST["nvfp4"] / whole, 2**-9, 448)
        scales = scales.astype(ml_dtypes.float8_e4m3fn)
        values = blocks / (scales.astype(np.float32) * whole)[:, None]
        bits = values.reshape(-1).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
        packed = (bits[0::2] & 15) | ((bits[1::2] & 15) << 4)
        self._put(f"{tag}_w", "FLOAT4E2M1", weight.shape, packed.astype(np.uint8).tobytes())
        self._put(f"{tag}_s8", "FLOAT8E4M3FN", scales.shape, scales.tobytes())
        self._put(f"{tag}_g", "FLOAT", (), whole.tobytes())
        made = [
            make_node("DequantizeLinear", [f"{tag}_s8", f"{tag}_g"], [f"{tag}_sf"]),
            make_node("DequantizeLinear", [f"{tag}_w", f"{tag}_sf"], [f"{tag}_wf"], axis=0, block_size=BLOCK),
            make_node("Cast", [f"{tag}_wf"], [f"{tag}_wh"], to=TensorProto.FLOAT16),
        ]
        source = node.input[0]
        if source not in self.done:
            self._put(f"{tag}_ag", "FLOAT", (), np.float32(1 / LARGEST["fp8"]).tobytes())
            taken: dict[str, Any] = {"axis": -1, "block_size": BLOCK, "scale_type": TensorProto.FLOAT8E4M3FN}
            made += [
                make_node("TRT_FP4DynamicQuantize", [source, f"{tag}_ag"], [f"{tag}_x4", f"{tag}_xs"], domain="trt",
                          **taken),
                make_node("DequantizeLinear", [f"{tag}_xs", f"{tag}_ag"], [f"{tag}_xf"]),
                make_node("DequantizeLinear", [f"{tag}_x4", f"{tag}_xf"], [f"{tag}_xd"], axis=-1, block_size=BLOCK),
                make_node("Cast", [f"{tag}_xd"], [f"{tag}_xh"], to=TensorProto.FLOAT16),
            ]  # fmt: skip
            self.done[source] = f"{tag}_xh"
        node.input[0], node.input[1] = self.done[source], f"{tag}_wh"
        return made


def _ranges(content: bytes, names: list[str], inputs: list[dict[str, NDArray[np.generic]]]) -> dict[str, float]:
    """The largest magnitude of each value over the inputs."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("fp8 needs onnxruntime to measure ranges", remedy="pip install onnxruntime") from error
    import onnx

    model = onnx.load_from_string(content)
    wanted = sorted(set(names))
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(wanted, 0.0)
    for given in inputs:
        for name, found in zip(wanted, session.run(wanted, given), strict=True):
            largest[name] = max(largest[name], float(np.abs(found.astype(np.float32)).max()))
    return largest
