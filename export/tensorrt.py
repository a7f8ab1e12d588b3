"""TensorRT, for the cards that TensorRT-RTX has no target for: the same ONNX, built by the first load."""

from __future__ import annotations

from maescan.export.tensorrt_rtx import build

__all__ = ["build"]
