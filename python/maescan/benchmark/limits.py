"""What the hardware allows: the measured rate of a matrix product and of a copy, and the limit that they set."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from maescan.benchmark import cost
from maescan.config import Preset
from maescan.config.types import Json
from maescan.engines.openvino import HINT

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of a weight; activations of int8 engines between quantised products are taken to be as small."""


PRODUCTS = 8


def gemm_peak(precision: str, threads: int, *, size: int = 1024, rounds: int = 9) -> float:
    """Operations per second of `PRODUCTS` matrix products [size, size] in a row on this CPU, by OpenVINO: the fastest
    of `rounds`. In a row, because one alone would mostly measure how its float32 input and output are moved.

    int8: unsigned activations and signed weights, as OpenVINO's quantised models have them.
    """
    import openvino
    from openvino import opset13 as ops

    parameter = values = ops.parameter([size, size], np.float32)
    weights = np.random.default_rng(0).integers(-127, 128, (size, size)).astype(np.int8)
    for _ in range(PRODUCTS):
        if precision == "int8":
            values = ops.fake_quantize(values, *(np.float32(value) for value in (0, 2.55, 0, 2.55)), 256)
            right = ops.multiply(ops.convert(weights, "f32"), np.float32(0.01))
        else:
            right = ops.constant(weights.astype(np.float32) / size)
        values = ops.matmul(values, right, False, True)
    model = openvino.Model([ops.reduce_sum(values, 1)], [parameter])
    settings = {"INFERENCE_PRECISION_HINT": HINT[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    start = np.random.default_rng(1).random((size, size), np.float32)
    return 2 * PRODUCTS * size**3 / min(_seconds(lambda: request.infer([start]), rounds + 1)[1:])


def copy_rate(*, size: int = 256 << 20, rounds: int = 5) -> float:
    """Bytes per second, read and written, of numpy's copy on one thread: the fastest of `rounds`."""
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    return 2 * size / min(_seconds(lambda: np.copyto(target, source), rounds + 1)[1:])


def measure(precisions: list[str], threads: int, *, quick: bool = False) -> Json:
    """gemm: operations per second by precision; copy: bytes per second."""
    peaks = {name: gemm_peak(name, threads, rounds=3 if quick else 9) for name in precisions if name in HINT}
    return {"gemm": peaks, "copy": copy_rate(size=(32 << 20) if quick else (256 << 20))}


def limit(preset: Preset, precision: str, batch: int, limits: Json) -> dict[str, float] | None:
    """What a slice costs and the slices per second that the slower of products and copies allows; None where no peak
    is known for that precision."""
    peak = limits["gemm"].get(precision)
    if not peak:
        return None
    operations = cost.engine_operations(preset)
    moved = cost.slice_bytes(preset, batch, BYTES[precision])
    seconds = operations / peak, moved / limits["copy"]
    return {
        "operations": operations,
        "bytes": moved,
        "slices_per_second": 1 / max(seconds),
        "compute_slices_per_second": 1 / seconds[0],
    }


def _seconds(call: Callable[[], object], rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds
