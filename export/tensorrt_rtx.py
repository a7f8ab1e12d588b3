"""ONNX for TensorRT-RTX and TensorRT, which build it on the user's machine at the first load: their plans run on one
kind of card with one release only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from maescan.engines.bundle import Bundle
from maescan.engines.plans import build as build_plan
from maescan.engines.targets import NEEDS, RTX
from maescan.export.onnx import OPSET, models


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.onnx and classifier.onnx in 16 bits, and returns the versions. Needs no GPU and no TensorRT; where
    TensorRT-RTX is installed it must be able to build them.

    Raises EngineError with its words where it cannot.
    """
    import onnx
    import torch

    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "opset": str(OPSET)}
    for name, content in models(mae, classifier, bundle.preset, precision, narrow=True):
        (folder / f"{name}.onnx").write_bytes(content)
        if importlib.util.find_spec("tensorrt_rtx"):
            import tensorrt_rtx

            oldest = min(card for card in RTX if card >= max(NEEDS.get(precision, (8, 0)), (8, 0)))
            build_plan(tensorrt_rtx, name, content, bundle.preset, oldest)
            versions["tensorrt_rtx"] = tensorrt_rtx.__version__
    return versions
