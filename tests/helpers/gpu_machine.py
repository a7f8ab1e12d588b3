"""A machine with GPUs that are not there: a driver, CUDA's runtime and TensorRT-RTX, all stand-ins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.bundles import SMALL
from helpers.cuda_standin import Cuda, Kernels
from helpers.trt_standin import Trt, run_rows, session
from maescan import kernels, machine
from maescan.config import PRESETS, Preset
from maescan.engines.tensorrt import TensorRtEngine
from maescan.method.engine import TokenBatch
from maescan.method.masks import of_all_tokens

THIN = {"encoder_dim": 48, "encoder_depth": 1, "encoder_heads": 4, "decoder_dim": 32, "decoder_heads": 2}
FOREGROUND = SMALL.replace(name="small-fg", tokens__method="foreground", tokens__buckets=(8,))
CASES = {
    "small": SMALL,
    "small-fg": FOREGROUND,
    "complementary": SMALL.replace(masks__strategy="complementary"),
    "no paste": SMALL.replace(masks__paste=False),
    "l2": SMALL.replace(input="l2"),
    "reconstruction": SMALL.replace(input="reconstruction"),
    "image": SMALL.replace(input="image"),
    "judge": FOREGROUND.replace(name="judge", measure="judge", masks__strategy="complementary"),
    "hull": FOREGROUND.replace(name="hull", tokens__method="hull", measure="judge", masks__strategy="complementary"),
    **{measure: SMALL.replace(measure=measure) for measure in ("mse", "mae", "ssim")},
}


def thin(name: str) -> Preset:
    """A preset with its own grid, masks and intensities, and networks that cost nothing."""
    model = {f"model__{field}": value for field, value in THIN.items()}
    preset = PRESETS[name].replace(**model, model__decoder_depth=min(2, PRESETS[name].model.decoder_depth))
    fewer = preset.model.tokens // 2 // 8 * 8
    return preset if preset.tokens.method == "all" else preset.replace(tokens__buckets=(fewer,))


def driver(
    count: int = 1,
    capability: tuple[int, int] = (8, 9),
    name: str = "NVIDIA Test",
    version: int = 13000,
    init: int = 0,
) -> Any:
    """libcuda of that CUDA version with `count` GPUs; init: what starting it answers."""

    def put(pointer: Any, value: object) -> int:
        pointer._obj.value = value
        return 0

    def put_name(buffer: Any, size: int, index: int) -> int:
        buffer.value = name.encode()
        return 0

    def put_uuid(raw: Any, index: Any) -> int:
        raw[15] = 7 + index.value
        return 0

    return SimpleNamespace(
        cuInit=lambda _: init,
        cuGetErrorName=lambda code, pointer: put(pointer, f"CUDA_ERROR_{code}".encode()),
        cuDriverGetVersion=lambda pointer: put(pointer, version),
        cuDeviceGetCount=lambda pointer: put(pointer, count),
        cuDeviceGet=lambda pointer, index: put(pointer, index),
        cuDeviceGetName=put_name,
        cuDeviceGetUuid_v2=put_uuid,
        cuDeviceTotalMem_v2=lambda pointer, index: put(pointer, 24 << 30),
        cuDeviceGetAttribute=lambda pointer, attribute, index: put(pointer, capability[attribute - 75]),
    )


def install(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    *,
    capability: tuple[int, int] = (8, 9),
    devices: int = 2,
    seed: int = 0,
    **cuda: int,
) -> tuple[Cuda, Trt]:
    """Puts the stand-ins in the place of the driver, cuda-bindings, TensorRT-RTX and the extension."""
    runtime = Cuda(seed, devices, **cuda)
    trt = Trt(runtime, capability)
    monkeypatch.setattr(machine, "_driver", lambda: driver(devices, capability))
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    runtime.kernels = Kernels(kernels._kernels, runtime)  # type: ignore[attr-defined]
    monkeypatch.setattr(kernels, "_kernels", runtime.kernels)
    return runtime, trt


class HostEngine:
    """The same networks on the host, for the CPU's path: ONNX Runtime over the files of an engine folder."""

    name, batch = "host", 8

    def __init__(self, folder: Path) -> None:
        files = {name: folder / f"{name}.onnx" for name in ("mae", "classifier", "scores")}
        self.sessions = {name: session(file.read_bytes(), folder) for name, file in files.items() if file.exists()}

    def _run(self, name: str, *arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        session = self.sessions[name]
        ports = session.get_inputs()
        types = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int32)": np.int32}
        given = {p.name: np.asarray(a, types[p.type]) for p, a in zip(ports, arrays, strict=True)}
        return run_rows(session, given)

    def reconstruct(
        self, visible: NDArray[Any], token_ids: NDArray[Any], keep_ids: NDArray[Any], restore_ids: NDArray[Any]
    ) -> NDArray[Any]:
        if self.sessions["mae"].get_inputs()[3].name == "restore_ids":
            return self._run("mae", visible, token_ids, keep_ids, restore_ids)["result"]
        return of_all_tokens(
            lambda ids: self._run("mae", visible, token_ids, keep_ids, ids)["result"], restore_ids, visible.shape[1]
        )

    def classify(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        return self._run("classifier", *arrays)["result"]

    def close(self) -> None:
        self.sessions = {}


class HostWhole(HostEngine):
    """The graph of the whole path on the host, in the place of the engine of a GPU."""

    def score(self, batches: Sequence[TokenBatch], preset: Preset, *, maps: bool) -> list[dict[str, NDArray[Any]]]:
        return [self._whole(batch, preset, maps) for batch in batches]

    def _whole(self, batch: TokenBatch, preset: Preset, maps: bool) -> dict[str, NDArray[Any]]:
        masks, (_, tokens) = preset.masks, batch.ids.shape
        keep, rows = masks.visible(tokens), len(batch.images) * masks.passes
        out = tuple(np.empty((rows, size), np.int32) for size in (keep, tokens, tokens - keep))
        kernels.make_masks(batch.slice_ids, seed=masks.seed, passes=masks.passes, tokens=tokens, keep=keep,
                           strategy=masks.strategy, out=out)  # fmt: skip
        found = self._run("scores", batch.images, batch.ids, out[0], out[2], out[1])
        return {name: array for name, array in found.items() if maps or array.ndim == 1}


def slices_of(preset: Preset, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Slices of float16's values with air around: discs of all sizes, one of them empty."""
    rng, size = np.random.default_rng(seed), preset.model.image_size
    y, x = np.mgrid[:size, :size] / size - 0.5
    inside = np.stack([y**2 + x**2 < radius**2 for radius in np.linspace(0, 0.6, count)])
    air = -10.0 if preset.intensity.method == "hu" else 0.0
    return np.where(inside, rng.random((count, size, size)) + 0.5, air).astype(np.float16).astype(np.float32)


@dataclass(frozen=True)
class Engine:
    """An engine folder, not a bundle around it: what the engine of a GPU needs."""

    folder: Path
    preset: Preset
    precision: str

    def load(self, device: str = "cuda") -> TensorRtEngine:
        values = {"target": "tensorrt-rtx", "precision": self.precision, "versions": {}}
        return TensorRtEngine(self.folder, values, device=device, threads=None, preset=self.preset)

    def host(self) -> HostEngine:
        return HostEngine(self.folder)

    def whole(self) -> HostWhole:
        return HostWhole(self.folder)


def same(found: object, wanted: object) -> None:
    for name, value in vars(wanted).items():
        got = getattr(found, name)
        assert (value is None) == (got is None), name
        if value is not None:
            assert got.dtype == value.dtype and np.array_equal(got, value), (name, np.abs(got - value).max())
