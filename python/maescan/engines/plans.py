"""ONNX -> TensorRT's plans, built where they run: at the first load, for this GPU and this TensorRT, and kept in the
user's cache. A plan of another release or another card is never tried."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.engines.golden import cache_folder
from maescan.engines.targets import Capability
from maescan.errors import DataError, EngineError

BATCHES = (1, 8, 32)
"""Slices of a place. What is scored is cut into the largest, the rest takes the smallest that holds it."""


class Messages:
    """What TensorRT said, so that an error can repeat it: its own logger prints and forgets."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def last(self) -> str:
        """The first complaint since the last `clear`, which is the cause of those behind it."""
        return self.lines[0] if self.lines else "it says nothing"

    def clear(self) -> None:
        """Forgets what was said."""
        self.lines = []


@cache
def logger(trt: Any) -> tuple[Any, Messages]:
    """The logger of a TensorRT module: it takes one a process and ignores others."""
    messages = Messages()

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                messages.lines.append(" ".join(str(message).split())[:300])

    return Logger(), messages


def plan(trt: Any, file: Path, preset: Preset, capability: Capability, *, anew: bool = False) -> bytes:
    """The plan of an ONNX file for a compute capability, from the cache where it was built before (not `anew`).

    Raises EngineError with TensorRT's words where it cannot be built.
    """
    content = file.read_bytes()
    key = f"{trt.__name__} {trt.__version__} {capability} {BATCHES} {preset.masks} {preset.model}"
    digest = hashlib.sha256(content + key.encode()).hexdigest()
    kept = cache_folder() / "plans" / f"{digest}.plan"
    if not anew:
        with contextlib.suppress(OSError):
            return kept.read_bytes()
    built = build(trt, file.stem, content, preset, capability)
    with contextlib.suppress(DataError):  # a cache that cannot be written costs time, nothing else
        from maescan.files import whole_file

        with whole_file(kept) as temporary:
            temporary.write_bytes(built)
    return built


def build(trt: Any, name: str, content: bytes, preset: Preset, capability: Capability | None) -> bytes:
    """A serialised plan of an ONNX model: types as the graph has them, every size of place in one profile.

    capability: the GPU that it is for, which TensorRT-RTX need not have; TensorRT builds for the GPU at hand.
    """
    log, messages = logger(trt)
    messages.clear()
    builder = trt.Builder(log)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # the only kind since TensorRT 11
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(content):
        faults = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
        raise EngineError(f"{trt.__name__} cannot parse {name}: {faults}", remedy="export it to openvino or onnx")
    config = builder.create_builder_config()
    flag = getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if flag is not None:  # without it a context may allocate while a stream is captured, and no graph can be made
        config.set_flag(flag)
    _aim(trt, config, capability)
    config.add_optimization_profile(_profile(builder, network, preset, preset.masks.passes if name == "mae" else 1))
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise EngineError(f"{trt.__name__} cannot build {name}: {messages.last()}", remedy="see `maescan doctor`")
    return bytes(made)


def _aim(trt: Any, config: Any, capability: Capability | None) -> None:
    """Builds for one card: without a target TensorRT-RTX claims 8.0 and 8.6 even for what cannot run there."""
    if capability is None or not hasattr(trt, "ComputeCapability"):
        return
    member = trt.ComputeCapability.__members__.get(f"SM{capability[0]}{capability[1]}")
    if member is None:
        raise EngineError(f"{trt.__name__} has no target for compute capability {capability[0]}.{capability[1]}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(member, 0)


def _profile(builder: Any, network: Any, preset: Preset, passes: int) -> Any:
    """Every input [rows, tokens, ...]: `passes` rows a slice, from sets of 4 tokens (foreground) to the grid."""
    profile = builder.create_optimization_profile()
    slices = (BATCHES[0], BATCHES[-1], BATCHES[-1])
    for index in range(network.num_inputs):
        port = network.get_input(index)
        seen = preset.masks.visible if port.name in ("visible", "keep_ids") else int
        rest = tuple(port.shape)[2:]
        tokens = (max(1, seen(4)), seen(preset.model.tokens), seen(preset.model.tokens))
        shapes = [(passes * batch, count, *rest) for batch, count in zip(slices, tokens, strict=True)]
        profile.set_shape(port.name, *shapes)
    return profile
