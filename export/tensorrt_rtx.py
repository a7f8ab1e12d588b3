"""TensorRT-RTX engines, built from ONNX on any machine: kernels are chosen on the user's GPU when it first runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.errors import EngineError
from maescan.export.onnx import models

BATCHES = (1, 32, 160)
"""Slices a call: the least, the usual, the most. A head scan has about 155 slices."""


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.engine and classifier.engine, and returns the versions. Needs no GPU.

    Raises EngineError with the parser's words where the model cannot be built.
    """
    import tensorrt_rtx

    for name, content in models(mae, classifier, bundle.preset, precision):
        (folder / f"{name}.engine").write_bytes(compile_engine(tensorrt_rtx, name, content, bundle.preset))
    return {"tensorrt_rtx": tensorrt_rtx.__version__}


def compile_engine(trt: Any, name: str, content: bytes, preset: Preset) -> bytes:
    """A serialised engine of an ONNX model for compute capability 8.0 and up: types as the graph has them, batches of
    BATCHES."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        faults = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
        raise EngineError(f"TensorRT cannot parse {name}: {faults}", remedy="export to onnx and openvino instead")
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, preset, preset.masks.passes if name == "mae" else 1))
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise EngineError(f"TensorRT cannot build {name}", remedy="export to onnx and openvino instead")
    return bytes(made)


def _profile(builder: Any, network: Any, preset: Preset, passes: int) -> Any:
    """Every input [rows, tokens, ...]: `passes` rows a slice, from sets of 4 tokens (foreground) to the grid."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        port = network.get_input(index)
        seen = preset.masks.visible if port.name in ("visible", "keep_ids") else int
        rest = tuple(port.shape)[2:]
        tokens = (max(1, seen(4)), seen(preset.model.tokens), seen(preset.model.tokens))
        shapes = [(passes * batch, count, *rest) for batch, count in zip(BATCHES, tokens, strict=True)]
        profile.set_shape(port.name, *shapes)
    return profile
