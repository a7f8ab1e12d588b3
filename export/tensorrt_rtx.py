"""ONNX for TensorRT-RTX and TensorRT, which build it on the user's machine at the first load: their plans run on one
kind of card with one release only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.engines.plans import build as build_plan
from maescan.engines.targets import NEEDS, RTX
from maescan.export.low_precision import OPSETS, quantised
from maescan.export.onnx import OPSET, models


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.onnx and classifier.onnx, and returns the versions. Needs no GPU and no TensorRT; where TensorRT-RTX
    is installed it must be able to build them.

    fp8 and nvfp4 are the classifier's; the MAE beside it stays in fp16, since its quantised maps move the order of
    slices. Raises EngineError with TensorRT's words where it cannot build.
    """
    import onnx
    import torch

    low = precision in OPSETS
    opset = min(OPSETS[precision], 20) if low else OPSET
    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "opset": str(opset)}
    base = "fp16" if low else precision
    seen = _seen(bundle) if precision == "fp8" and classifier is not None else []
    for name, content in models(mae, classifier, bundle.preset, base, narrow=True, opset=opset):
        made = quantised(content, precision, seen) if low and name == "classifier" else content
        (folder / f"{name}.onnx").write_bytes(made)
        if importlib.util.find_spec("tensorrt_rtx"):
            versions["tensorrt_rtx"] = _prove(name, made, bundle.preset, precision)
    return versions


def _seen(bundle: Bundle) -> list[dict[str, Any]]:
    """What the classifier is given on training slices."""
    from maescan.engines.eager import TorchEngine
    from maescan.export.quantise import given

    return given(bundle, TorchEngine(bundle.path, bundle.preset))["classifier"]


def _prove(name: str, content: bytes, preset: Preset, precision: str) -> str:
    """Builds for the oldest card that has the precision, and returns TensorRT-RTX's version."""
    import tensorrt_rtx

    first = max(NEEDS.get(precision, (8, 0)), (8, 0))
    build_plan(tensorrt_rtx, name, content, preset, min(card for card in RTX if card >= first))
    version: str = tensorrt_rtx.__version__
    return version
