"""The one table of targets: which code runs an engine, on which devices, in which precisions, and what it needs.

GPUs are told apart by compute capability: TensorRT-RTX knows the RTX cards only, Hopper (9.0), data-centre Blackwell
(10.x) and Orin (8.7) take TensorRT, and TorchScript runs wherever torch does.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from maescan.errors import EngineError
from maescan.machine import Gpu, found_gpus

Capability = tuple[int, int]
RTX: frozenset[Capability] = frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)})
"""What TensorRT-RTX compiles for: the members of its ComputeCapability."""

OLDEST: Capability = (7, 5)
"""The oldest card that our kernels, TensorRT 11 and torch's CUDA 13 builds run on."""

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8", "nvfp4")
"""The closest to the reference first: the first that a bundle has is its default."""

NEEDS: dict[str, Capability] = {"bf16": (8, 0), "fp8": (8, 9), "nvfp4": (10, 0)}
"""The compute capability from which a GPU has a precision in hardware; others run on every card."""


@dataclass(frozen=True)
class Target:
    """module, backend: the class that runs it; package, install: what it imports and the command that brings it;
    capabilities: the GPUs that it runs on (None: OLDEST and newer)."""

    name: str
    module: str
    backend: str
    kinds: tuple[str, ...]
    precisions: tuple[str, ...]
    package: str
    install: str
    capabilities: frozenset[Capability] | None = None

    def lacks(self, gpu: Gpu, precision: str | None = None) -> str | None:
        """Why engines of this target (in that precision) cannot run on a GPU; None where they can."""
        if "cuda" not in self.kinds:
            return f"{self.name} runs on CPUs only"
        if gpu.capability < OLDEST or (self.capabilities is not None and gpu.capability not in self.capabilities):
            return f"{self.name} does not run on {gpu}"
        needed = NEEDS.get(precision or "", OLDEST)
        if gpu.capability < needed:
            return f"{precision} needs compute capability {needed[0]}.{needed[1]}, and this is {gpu}"
        return None


_TENSORRT = "pip install 'maescan[tensorrt-full]'"
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "openvino", "openvino", "OpenVinoEngine", ("cpu",), ("fp32", "bf16", "int8"),
            "openvino", "pip install maescan",
        ),
        Target(
            "tensorrt", "tensorrt", "TensorRtEngine", ("cuda",), ("fp16", "bf16", "fp8", "nvfp4"),
            "tensorrt", _TENSORRT,
        ),
        Target(
            "torch-tensorrt", "tensorrt", "TensorRtEngine", ("cuda",), ("fp16", "bf16"),
            "tensorrt", "pip install 'maescan[torch-tensorrt]'",
        ),
        Target(
            "tensorrt-rtx", "tensorrt", "TensorRtEngine", ("cuda",), ("fp16", "bf16", "fp8", "nvfp4"),
            "tensorrt_rtx", "pip install 'maescan[tensorrt]'", RTX,
        ),
        Target(
            "torchscript", "torchscript", "load_torchscript", ("cpu", "cuda"), ("fp32", "fp16", "bf16"),
            "torch", "pip install 'maescan[train]'",
        ),
        Target(
            "onnx", "onnx", "OnnxEngine", ("cpu",), ("fp32", "fp16"), "onnxruntime", "pip install onnxruntime",
        ),
    )
}  # fmt: skip
"""In the order in which they are chosen where several can run."""


def kind_of(device: str) -> str:
    """cpu or cuda, which gpu is too. Raises EngineError for a device that is neither."""
    if device == "gpu":
        return "cuda"
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]{0,3}))?", device):  # as torch reads them, too
        raise EngineError(f"there is no device '{device}'", remedy="use auto, cpu, gpu or cuda:N")
    return device.partition(":")[0]


def runs_on(target: str, precision: str, kind: str, gpu: Gpu | None) -> bool:
    """Whether engines of a target and precision can run on the CPU (kind cpu), or on that GPU."""
    known = TARGETS.get(target)
    if known is None or kind not in known.kinds:
        return False
    return kind == "cpu" or gpu is None or known.lacks(gpu, precision) is None


def best_for(gpu: Gpu) -> Target:
    """The TensorRT that a GPU takes: RTX's where it has a target, since its engines are built anywhere.

    Raises EngineError for a card that none runs on."""
    for name in ("tensorrt-rtx", "tensorrt"):
        if TARGETS[name].lacks(gpu) is None:
            return TARGETS[name]
    raise EngineError(f"nothing runs on {gpu}, which is older than 7.5", remedy="use --device cpu")


def place_to_prove(target: str, precision: str) -> tuple[str, str] | None:
    """(device, its name) where an engine can run on this machine: the CPU if it runs there, else the first GPU that
    it fits; None where there is none, or where what runs it is not installed."""
    from maescan import kernels
    from maescan.machine import cpu_name

    if "cpu" in TARGETS[target].kinds:
        return "cpu", cpu_name()
    if any(_missing(package) for package in (TARGETS[target].package, "cuda.bindings")) or not kernels.has_cuda():
        return None
    for gpu in found_gpus():
        if TARGETS[target].lacks(gpu, precision) is None:
            return f"cuda:{gpu.number}", gpu.name
    return None


def _missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ImportError:  # what it lies in is missing itself
        return True
