"""OpenVINO: the default on CPUs. Loads no torch."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maescan.content import opened, sha256
from maescan.engines.kept import keep, kept
from maescan.machine import available_cores, cpu_features, cpu_name

if TYPE_CHECKING:
    from openvino import CompiledModel, Core

NARROW = 384
"""Width of an encoder up to which a call costs a fifth of the time of 8 slices: larger batches are faster there."""
HINT = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""Arithmetic of what is not quantised."""
TOOLS = "openvino.tools.ovc"
XML = b"<?xml"
SMALL = 32_000_000
"""Bytes of weights up to which a compiled model, which has them too, is kept in the user's cache."""


def runtime() -> ModuleType:
    """OpenVINO without its tools that convert models, which it loads where it can: two thirds of its start. They are
    loaded once somebody converts one. Raises ImportError."""
    lean = not {"openvino", TOOLS} & set(sys.modules)
    if lean:
        sys.modules[TOOLS] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if lean:
            del sys.modules[TOOLS]
    if lean:
        openvino.convert_model = _convert_model
    package: ModuleType = openvino
    return package


def _convert_model(*arguments: object, **options: object) -> object:
    from openvino.tools.ovc import convert_model

    return convert_model(*arguments, **options)


class OpenVinoEngine:
    """The two models of an engine folder, compiled for this CPU."""

    target = "openvino"

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Any
    ) -> None:
        openvino = runtime()
        self.precision, self.version = values["precision"], f"openvino {openvino.__version__}"
        self.name, self.device_name = f"{self.target}-{self.precision}", cpu_name()
        self.batch = 8 if preset.model.encoder_dim > NARROW else 32
        cores = threads or available_cores()
        self.parts = min(2, cores)
        settings: dict[str, str | int] = {
            "INFERENCE_PRECISION_HINT": HINT[self.precision],
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": self.parts,
        }
        core = openvino.Core()
        self._compile = partial(_compiled, core, settings=settings, version=self.version)
        self._files = folder / "mae.xml", folder / "classifier.xml"
        self._load()

    def _load(self) -> None:
        models = [self._compile(file) if file.exists() else None for file in self._files]
        self._mae, self._classifier = (
            [model.create_infer_request() for _ in range(self.parts)] if model else [] for model in models
        )
        self._failed = False

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""
        return self._run("_mae", visible, token_ids, keep_ids, restore_ids)

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._run("_classifier", tokens, token_ids)

    def _run(self, model: str, *arrays: Any) -> NDArray[np.float32]:
        """Halves of the rows beside each other on half the cores each: cores then wait less for one another. After a
        batch that failed the models are made anew: of one with shapes that do not fit they would refuse the next."""
        if self._failed:
            self._load()
        requests: list[Any] = getattr(self, model)
        parts = [[np.ascontiguousarray(array) for array in part] for part in _split(arrays, len(requests))]
        try:
            for request, part in zip(requests, parts, strict=False):
                request.start_async(part)
            for request, _ in zip(requests, parts, strict=False):
                request.wait()
        except BaseException:
            self._failed = True
            for request in requests:
                with contextlib.suppress(Exception):
                    request.wait()  # none writes on while its inputs go
            raise
        results = [request.get_output_tensor(0).data for request, _ in zip(requests, parts, strict=False)]
        joined: NDArray[np.float32] = np.concatenate(results)
        return joined

    def close(self) -> None:
        self._mae, self._classifier = [], []


def _compiled(core: Core, file: Path, settings: Mapping[str, object], version: str) -> CompiledModel:
    """The compiled model of a file. That of a small one, of which compiling is most of the start, is kept.

    Raises ValueError for a file that is not OpenVINO's own XML: it would read any that it knows under this name, as
    ONNX, whose weights may lie in other files."""
    with opened(file) as stream:
        if stream.read(len(XML)) != XML:
            raise ValueError(f"{file.name} is no XML of OpenVINO's")
    weights = file.with_suffix(".bin")
    if not weights.exists() or weights.stat().st_size > SMALL:
        return core.compile_model(file, "CPU", settings)
    digest = sha256(file) + sha256(weights)
    key = f"{digest} {settings} {version} {cpu_name()} {cpu_features()}"
    with contextlib.suppress(Exception):  # whatever it is that cannot be read: compiled anew
        if (known := kept("openvino", key)) is not None:
            return core.import_model(known, "CPU", settings)
    made = core.compile_model(file, "CPU", settings)
    with contextlib.suppress(Exception):
        exported = made.export_model()  # bytes of OpenVINO 2025.0, a stream of later ones
        keep("openvino", key, exported if isinstance(exported, bytes) else exported.getvalue())
    return made


def _split(arrays: tuple[Any, ...], count: int) -> list[tuple[Any, ...]]:
    """At most `count` runs of rows of all arrays, none of them empty."""
    rows = len(arrays[0])
    edges = np.linspace(0, rows, min(count, max(rows, 1)) + 1).astype(int)
    return [tuple(array[low:high] for array in arrays) for low, high in itertools.pairwise(edges)]
