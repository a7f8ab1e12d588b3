"""ONNX, the interchange: a file a network, opset 17 (the first with LayerNormalization), batch and tokens dynamic."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.export.mixed import DTYPES, mixed
from maescan.export.networks import Network, networks

OPSET = 17


def build(folder: Path, mae: Network, classifier: Network, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.onnx and classifier.onnx, checked by ONNX itself, and returns the versions."""
    import onnx

    for name, content in models(mae, classifier, bundle.preset, precision):
        (folder / f"{name}.onnx").write_bytes(content)
        onnx.checker.check_model(folder / f"{name}.onnx", full_check=True)
    return {"torch": torch.__version__, "onnx": onnx.__version__, "opset": str(OPSET)}


def models(
    mae: nn.Module | None,
    classifier: nn.Module | None,
    preset: Preset,
    precision: str,
    *,
    narrow: bool = False,
    opset: int = OPSET,
) -> Iterator[tuple[str, bytes]]:
    """`mae` and `classifier`, those that are there, as ONNX. fp16 and bf16: LayerNorm, softmax, inputs and outputs
    stay in fp32; with `narrow` the MAE takes and gives 16 bits, and a lean one is told what is hidden."""
    for name, module, example in networks(mae, classifier, preset, hidden=narrow):
        narrowed = narrow and name == "mae" and precision in DTYPES
        given = {k: v.to(DTYPES[precision]) if narrowed and k == "visible" else v for k, v in example.items()}
        yield name, traced(mixed(module, precision, narrow=narrowed), given, ("result",), opset)


def traced(module: nn.Module, example: dict[str, torch.Tensor], outputs: tuple[str, ...], opset: int) -> bytes:
    """A module as ONNX: the first two axes of its inputs may have any size."""
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracing exporter is ten times faster than the new one and as right
        torch.onnx.export(
            module,
            tuple(example.values()),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes={name: {0: f"{name}_rows", 1: f"{name}_tokens"} for name in example}
            | {name: {0: f"{name}_rows"} for name in outputs},
        )
    return buffer.getvalue()
