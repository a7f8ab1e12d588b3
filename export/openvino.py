"""Torch modules to OpenVINO's intermediate representation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from maescan.export.networks import networks


def build(folder: Path, mae: Any, classifier: Any, bundle: Any, precision: str) -> dict[str, str]:
    """Writes mae.xml and classifier.xml with their .bin, batch and token axes dynamic. Weights are fp32 (int8: see
    `quantise`); the precision of the arithmetic is chosen when they are loaded."""
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, module, inputs in networks(mae, classifier, bundle.preset):
            converted = openvino.convert_model(module, example_input=tuple(inputs.values()))
            openvino.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)
    return {"openvino": openvino.__version__}
