"""ONNX -> TensorRT's plans, built where they run: at the first load, for this GPU and this TensorRT, and kept in the
user's cache. A plan of another release or another card is never tried."""

from __future__ import annotations

import contextlib
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.engines.kept import prune
from maescan.engines.targets import Capability
from maescan.errors import DataError, EngineError
from maescan.machine import Gpu, cache_folder

BATCHES = (1, 8, 32)
"""Slices of a place. What is scored is cut into the largest, the rest takes the smallest that holds it."""

FEWEST = 4
"""Tokens of the smallest set that a plan takes, or fewer where a preset's buckets or grid are smaller."""

WEIGHTS = "weights.bin"
"""The weights of all ONNX files of a folder, each once: networks stand alone and in the graph of the whole path."""


class Messages:
    """What TensorRT said, so that an error can repeat it: its own logger prints and forgets. scratch: bytes of
    working memory for the largest shapes of the plan that was built last, as the builder says."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.scratch = 0

    def last(self) -> str:
        """The first complaint since the last `clear`, which is the cause of those behind it."""
        return self.lines[0] if self.lines else "it says nothing"

    def clear(self) -> None:
        """Forgets what was said."""
        self.lines = []


@cache
def logger(trt: Any) -> tuple[Any, Messages]:
    """The logger of a TensorRT module: it takes one per process and ignores others."""
    messages = Messages()

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                messages.lines.append(" ".join(str(message).split())[:300])
            elif found := re.match(r"Total Activation Memory: (\d+)", str(message)):
                messages.scratch = int(found[1])

    return Logger(), messages


def plan(trt: Any, file: Path, preset: Preset, gpu: Gpu, *, anew: bool = False) -> bytes:
    """The plan of an ONNX file for a GPU, from the cache where it was built before (not `anew`). TensorRT-RTX builds
    for a compute capability; TensorRT measures on the card, and another of its capability may be slower with it.

    Raises EngineError with TensorRT's words where it cannot be built.
    """
    card = gpu.capability if hasattr(trt, "ComputeCapability") else (gpu.capability, gpu.name)
    key = f"{trt.__name__} {trt.__version__} {card} {BATCHES} {preset.masks} {preset.model} {_fewest(preset)}"
    digest = hashlib.sha256(key.encode())
    for part in (file, file.with_name(WEIGHTS)):
        if part.exists():
            with part.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    kept = cache_folder() / "plans" / f"{digest.hexdigest()}.plan"
    if not anew:
        with contextlib.suppress(OSError):
            content = kept.read_bytes()
            with contextlib.suppress(OSError):  # a cache may be there to be read alone
                kept.touch()
            return content
    built = build(trt, file, preset, gpu.capability)
    with contextlib.suppress(DataError, OSError):  # a cache that cannot be written costs time, nothing else
        from maescan.files import atomic_file

        with atomic_file(kept) as temporary:
            temporary.write_bytes(built)
        prune(kept.parent, "*.plan")
    return built


def build(trt: Any, file: Path, preset: Preset, capability: Capability | None) -> bytes:
    """A serialised plan of an ONNX file: types as the graph has them, every size of place in one profile.

    capability: the GPU that it is for, which TensorRT-RTX need not have; TensorRT builds for the GPU at hand.
    Raises EngineError with TensorRT's words.
    """
    name = file.stem
    log, messages = logger(trt)
    messages.clear()
    builder = trt.Builder(log)
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # the only kind since TensorRT 11
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(file.read_bytes(), str(file)):
        faults = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
        raise EngineError(f"{trt.__name__} cannot parse {name}: {faults}", remedy="export it to openvino or onnx")
    config = builder.create_builder_config()
    flag = getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if flag is not None:  # without it a context may allocate while a stream is captured, and no graph can be made
        config.set_flag(flag)
    _aim(trt, config, capability)
    config.add_optimization_profile(_profile(builder, network, preset))
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


def _profile(builder: Any, network: Any, preset: Preset) -> Any:
    """Every input, from one slice with the smallest set of tokens to the largest batch of whole grids."""
    profile = builder.create_optimization_profile()
    ports = [network.get_input(index) for index in range(network.num_inputs)]
    names, ends = [port.name for port in ports], ((BATCHES[0], _fewest(preset)), (BATCHES[-1], preset.model.tokens))
    least, most = (shapes(names, preset, *sizes) for sizes in ends)
    for port in ports:
        rest = tuple(port.shape)[2:]
        low, high = ((*found[port.name][:2], *rest) for found in (least, most))
        profile.set_shape(port.name, low, high, high)
    return profile


def _fewest(preset: Preset) -> int:
    return min(FEWEST, preset.model.tokens, *preset.tokens.buckets)


def shapes(names: list[str], preset: Preset, slices: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's inputs for so many slices with sets of so many tokens.

    Images, patches and ids of sets have a row a slice, all else one per pass; the MAE's ids are repeated for each.
    """
    model, passes = preset.model, preset.masks.passes
    keep = max(1, preset.masks.visible(tokens))
    counts = {"visible": keep, "keep_ids": keep, "hidden_ids": tokens - keep, "images": model.image_size}
    ends = {"visible": model.patch_pixels, "patches": model.patch_pixels, "images": model.image_size}
    found = {}
    for name in names:
        one = name in ("images", "patches") or (name == "token_ids" and "visible" not in names)
        end = (ends[name],) if name in ends else ()
        found[name] = (slices * (1 if one else passes), counts.get(name, tokens), *end)
    return found
