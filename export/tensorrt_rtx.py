"""ONNX for TensorRT-RTX and TensorRT, which build it on the user's machine at the first load: their plans run on one
kind of card with one release only."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.engines.plans import WEIGHTS
from maescan.engines.plans import build as build_plan
from maescan.engines.targets import NEEDS, RTX
from maescan.export.low_precision import OPSETS, quantised
from maescan.export.networks import Network
from maescan.export.onnx import OPSET, models
from maescan.export.whole import fits, whole

SMALL, ALIGNMENT = 1024, 256
"""Bytes: weights below the first stay in their graph; others begin at multiples of the second."""


Seen = list[dict[str, Any]]
"""What the classifier is given, an input per slice: fp8's ranges are taken from it."""


def build(folder: Path, mae: Network, classifier: Network, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.onnx, classifier.onnx and, where it fits, scores.onnx of the whole path, and returns the versions.
    Needs no GPU and no TensorRT; where TensorRT-RTX is installed it must be able to build them.

    fp8 and nvfp4 are the classifier's; the MAE beside it stays in fp16, since its quantised maps move the order of
    slices. Raises EngineError with TensorRT's words where it cannot build.
    """
    seen = _seen(bundle) if precision == "fp8" and classifier is not None else []
    versions = write(folder, (mae, classifier), bundle.preset, precision, seen)
    if importlib.util.find_spec("tensorrt_rtx"):
        for file in sorted(folder.glob("*.onnx")):
            versions["tensorrt_rtx"] = _prove(file, bundle.preset, precision)
    return versions


def write(
    folder: Path, networks: tuple[Network, Network], preset: Preset, precision: str, seen: Seen
) -> dict[str, str]:
    """The ONNX files of `build`, and the versions. networks: mae and classifier."""
    import onnx
    import torch

    low = precision in OPSETS
    opset = min(OPSETS[precision], 20) if low else OPSET
    base = "fp16" if low else precision
    contents: dict[str, bytes] = {}
    for name, content in models(*networks, preset, base, narrow=True, opset=opset):
        contents[name] = quantised(content, precision, seen) if low and name == "classifier" else content
    if fits(preset):
        contents["scores"] = whole(contents["mae"], contents["classifier"], preset, base, opset)
    share(folder, contents)
    return {"torch": torch.__version__, "onnx": onnx.__version__, "opset": str(opset)}


def share(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes NAME.onnx of each network, and the weights of all of them once, into WEIGHTS beside them."""
    import onnx
    from onnx.external_data_helper import set_external_data

    known: dict[tuple[int, bytes], int] = {}
    with (folder / WEIGHTS).open("wb") as weights:
        for name, content in contents.items():
            model = onnx.load_from_string(content)
            for weight in model.graph.initializer:
                raw = weight.raw_data
                if len(raw) < SMALL:
                    continue
                key = weight.data_type, hashlib.sha256(raw).digest()  # TensorRT refuses bytes seen as two types
                if key not in known:
                    weights.write(b"\0" * (-weights.tell() % ALIGNMENT))
                    known[key] = weights.tell()
                    weights.write(raw)
                set_external_data(weight, location=WEIGHTS, offset=known[key], length=len(raw))
                weight.ClearField("raw_data")
            (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


def _seen(bundle: Bundle) -> Seen:
    """What the classifier is given on training slices."""
    from maescan.engines.eager import TorchEngine
    from maescan.export.quantise import training_inputs

    return training_inputs(bundle, TorchEngine(bundle.path, bundle.preset))["classifier"]


def _prove(file: Path, preset: Preset, precision: str) -> str:
    """Builds for the oldest card that has the precision, and returns TensorRT-RTX's version."""
    import tensorrt_rtx

    first = max(NEEDS.get(precision, (8, 0)), (8, 0))
    build_plan(tensorrt_rtx, file, preset, min(card for card in RTX if card >= first))
    version: str = tensorrt_rtx.__version__
    return version
