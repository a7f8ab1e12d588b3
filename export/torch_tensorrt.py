"""TensorRT plans through torch-tensorrt, on the GPU box itself: for that kind of GPU and that TensorRT only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maescan.config import Preset
from maescan.engines.bundle import Bundle
from maescan.engines.plans import BATCHES
from maescan.engines.targets import TARGETS
from maescan.errors import EngineError
from maescan.export.mixed import mixed
from maescan.export.networks import Network, networks
from maescan.machine import require_gpu


def build(folder: Path, mae: Network, classifier: Network, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.engine and classifier.engine for this machine's GPU, and returns the versions.

    Raises EngineError for foreground tokens, and where the GPU, TensorRT or torch-tensorrt is missing.
    """
    check_here(bundle.preset)
    import tensorrt
    import torch_tensorrt

    passes = bundle.preset.masks.passes
    for name, module, example in networks(mae, classifier, bundle.preset):
        content = convert(torch_tensorrt, mixed(module, precision), example, passes if name == "mae" else 1, "cuda")
        (folder / f"{name}.engine").write_bytes(content)
    return {"tensorrt": tensorrt.__version__, "torch_tensorrt": torch_tensorrt.__version__}


def check_here(preset: Preset) -> None:
    """Raises EngineError for foreground tokens, and where the GPU, TensorRT or torch-tensorrt is missing."""
    for name in ("torch_tensorrt", "tensorrt"):
        if importlib.util.find_spec(name) is None:
            remedy = f"{TARGETS['torch-tensorrt'].install}, or export to tensorrt-rtx, which needs neither"
            raise EngineError(f"cannot build torch-tensorrt: {name} is not installed", remedy=remedy)
    if preset.tokens.method != "all":
        reason = "torch-tensorrt plans take whole grids, and this preset leaves tokens out"
        raise EngineError(reason, remedy="export to tensorrt or tensorrt-rtx")
    require_gpu("cuda")


def convert(torch_tensorrt: Any, module: nn.Module, example: dict[str, Tensor], rows: int, device: str) -> bytes:
    """The plan of a module whose graph has its types written out; inputs keep the names of `example`.

    rows: of one slice. The example must lie inside the range: torch-tensorrt tells what varies by that alone.
    """
    given = tuple(value.repeat(2 * rows, *[1] * (value.dim() - 1)).to(device) for value in example.values())
    batch = torch.export.Dim("batch", min=BATCHES[0] * rows, max=BATCHES[-1] * rows)
    first, *others = ({0: batch} for _ in given)
    shapes = (first, tuple(others)) if hasattr(module, "dtype") else (first, *others)
    program = torch.export.export(module.to(device), given, dynamic_shapes=shapes, strict=False)
    inputs = [
        torch_tensorrt.Input(
            min_shape=(BATCHES[0] * rows, *value.shape[1:]),
            opt_shape=(BATCHES[-1] * rows, *value.shape[1:]),
            max_shape=(BATCHES[-1] * rows, *value.shape[1:]),
            dtype=value.dtype,
            name=name,
        )
        for name, value in example.items()
    ]
    plan = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        program, arg_inputs=inputs, assume_dynamic_shape_support=True
    )
    return bytes(plan)
