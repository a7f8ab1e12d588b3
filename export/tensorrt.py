"""TensorRT engines tuned on the GPU box itself, through torch-tensorrt. They run on that kind of GPU only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from maescan.engines.bundle import Bundle
from maescan.errors import EngineError
from maescan.export.mixed import mixed
from maescan.export.networks import networks
from maescan.export.tensorrt_rtx import BATCHES
from maescan.machine import need_gpu


def build(folder: Path, mae: Any, classifier: Any, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.engine and classifier.engine for this machine's GPU, and returns the versions.

    Raises EngineError where the GPU, TensorRT or torch-tensorrt is missing, and says which.
    """
    for name in ("torch_tensorrt", "tensorrt"):
        if importlib.util.find_spec(name) is None:
            remedy = "pip install torch-tensorrt tensorrt, or export to tensorrt-rtx, which is built anywhere"
            raise EngineError(f"cannot build tensorrt: {name} is not installed", remedy=remedy)
    need_gpu("cuda")
    import tensorrt
    import torch_tensorrt

    passes = bundle.preset.masks.passes
    for name, module, example in networks(mae, classifier, bundle.preset):
        content = _convert(mixed(module, precision), example, passes if name == "mae" else 1)
        (folder / f"{name}.engine").write_bytes(content)
    return {"tensorrt": tensorrt.__version__, "torch_tensorrt": torch_tensorrt.__version__}


def _convert(module: Any, example: dict[str, Any], rows: int) -> bytes:
    """The engine of a module whose graph has its types written out; inputs keep the names of `example`."""
    import torch
    import torch_tensorrt

    given = tuple(value.cuda() for value in example.values())
    batch = torch.export.Dim("batch", min=BATCHES[0] * rows, max=BATCHES[-1] * rows)
    first, *others = ({0: batch} for _ in given)
    shapes = (first, tuple(others)) if hasattr(module, "dtype") else (first, *others)
    program = torch.export.export(module.cuda(), given, dynamic_shapes=shapes, strict=False)
    inputs = [
        torch_tensorrt.Input(
            min_shape=(BATCHES[0] * rows, *value.shape[1:]),
            opt_shape=(BATCHES[1] * rows, *value.shape[1:]),
            max_shape=(BATCHES[-1] * rows, *value.shape[1:]),
            dtype=value.dtype,
            name=name,
        )
        for name, value in example.items()
    ]
    made = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        program, arg_inputs=inputs, use_explicit_typing=True
    )
    return bytes(made)
