"""Engines x batch sizes: slices per second, latencies, time to the first score, peak memory, watts.

Each engine is measured in a process of its own, so that its memory and its first score are its own.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from maescan.benchmark.limits import gemm_peak
from maescan.benchmark.machine import Watts, peak_memory
from maescan.config.types import Json
from maescan.engines.openvino import HINT
from maescan.errors import MaescanError
from maescan.machine import safe_path
from maescan.method.engine import Engine, Floats
from maescan.options import EngineOptions

if TYPE_CHECKING:
    from maescan.engines.bundle import Bundle

Answer = TypeVar("Answer")


def apart(call: Callable[..., Answer], *arguments: object, **options: object) -> Answer:
    """The result of `call` in a new process, which has loaded nothing but what the call needs."""
    with safe_path():
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        answer = pool.submit(call, *arguments, **options)  # which starts it
    with pool:
        return answer.result()


def runnable(bundle: Bundle, device: str) -> list[tuple[str, str]]:
    """(target, precision) of the bundle's engines that can run on that device."""
    from maescan.engines.targets import kind_of, runs_on
    from maescan.machine import require_gpu

    kind = kind_of(device)
    gpu = require_gpu(device) if kind == "cuda" else None
    found = [(values["target"], values["precision"]) for values in bundle.engines().values()]
    return sorted((t, p) for t, p in found if runs_on(t, p, kind, gpu))


def measure(bundle: Path, engine: EngineOptions, images: Floats, batches: tuple[int, ...], seconds: float) -> Json:
    """One engine: {"engine", "target", "precision", "batches": rows, ...} or {"target", "precision", "skipped": why}.

    images [N, H, W]: slices that batches are taken from. seconds: how long each batch size runs, at least 3 times.
    """
    head = {"target": engine.target, "precision": engine.precision}
    try:
        return {**head, **_measure(bundle, engine, images, batches, seconds)}
    except MaescanError as error:
        return {**head, "skipped": str(error)}


def _measure(path: Path, asked: EngineOptions, images: Floats, batches: tuple[int, ...], seconds: float) -> Json:
    start = time.perf_counter()
    from maescan.machine import available_cores
    from maescan.method.score import score_slices

    bundle, engine = loaded(path, asked)
    device, precision, threads = asked.device, str(asked.precision), asked.threads

    def call(batch: int) -> None:
        score_slices(np.resize(images, (batch, *images.shape[1:])), np.arange(batch), engine, bundle.preset)

    call(1)
    first, rows = time.perf_counter() - start, []
    on_cpu = device == "cpu"
    for batch in batches:
        peaks = {} if not on_cpu else {precision: _peak(precision, threads or available_cores())}
        with Watts(device) as power:
            taken = timed(lambda batch=batch: call(batch), seconds)  # type: ignore[misc]
        rows.append({**summary(taken, batch), "watts": power.watts, "gemm_peak": peaks.get(precision)})
        if rows[-1]["p50_s"] > max(seconds, 2):
            break  # a larger batch would take minutes, and gain nothing where one is this slow
    engine.close()
    return {"engine": engine.name, "first_score_s": first, "peak_memory": peak_memory(), "batches": rows}


def loaded(path: Path, engine: EngineOptions) -> tuple[Bundle, Engine]:
    """A bundle and its engine. Raises EngineError for TorchScript where `engine` does not trust it."""
    from maescan import engines
    from maescan.engines.bundle import Bundle

    bundle = Bundle.load(path)
    asked = {name: getattr(engine, name) for name in ("device", "target", "precision", "threads", "trust")}
    return bundle, engines.load(bundle, **asked)


def timed(call: Callable[[], object], seconds: float, *, least: int = 3, warm: bool = True) -> list[float]:
    """Seconds of each call, after one that does not count (unless not `warm`), until `seconds` are over."""
    if warm:
        call()
    found: list[float] = []
    while len(found) < least or sum(found) < seconds:
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def summary(taken: list[float], batch: int) -> Json:
    """Rate over all calls and over the fastest, and percentiles of a batch's latency in seconds."""
    p50, p95, p99 = (float(value) for value in np.percentile(taken, [50, 95, 99]))
    return {
        "batch": batch,
        "calls": len(taken),
        "slices_per_second": batch * len(taken) / sum(taken),
        "best_slices_per_second": batch / min(taken),
        "p50_s": p50,
        "p95_s": p95,
        "p99_s": p99,
    }


def _peak(precision: str, threads: int) -> float | None:
    """Beside every figure, as near in time: on a busy machine both fall alike."""
    return gemm_peak(precision, threads, rounds=3) if precision in HINT else None
