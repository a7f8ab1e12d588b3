"""OpenVINO against the public formulation in eager fp32 PyTorch: ViT-Base, batch 8, two threads, in turns in one run.

python -m pytest bench/test_engines.py --benchmark-only -s [MAESCAN_BENCH_ROUNDS=5]
Only ratios within a round count, so that another program's load falls on all alike. The weights are random.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from maescan import engines, export
from maescan.benchmark import cost, limits
from maescan.config import preset
from maescan.engines.bundle import Bundle
from maescan.export.checkpoint import import_checkpoint
from maescan.method.score import score_slices
from maescan.models import Classifier, MaskedAutoencoder

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from paper import PaperPipeline

PRESET, BATCH, THREADS = preset("brats"), 8, 2
ROUNDS = int(os.environ.get("MAESCAN_BENCH_ROUNDS", "4"))
GOALS = {"fp32": 1.3, "bf16": 2.8, "int8": 4.2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    for name, model in (("mae", MaskedAutoencoder(PRESET.model)), ("classifier", Classifier(PRESET.model))):
        torch.save(model.state_dict(), folder / f"{name}.pth")
    run = import_checkpoint(folder / "mae.pth", folder / "classifier.pth", PRESET, folder / "run")
    images = np.random.default_rng(0).random((8, 224, 224), np.float32) * 2
    save_file({"images": images, "slice_ids": np.arange(8)}, run / "quantisation.safetensors")
    return Bundle.load(export.export(run, folder / "bundle", precision=tuple(GOALS)))


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Seconds [rounds] of every call, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(found[1:]) for name, found in seconds.items()}


@pytest.mark.timeout(1800)
def test_engines_against_the_public_formulation(bundle: Bundle, benchmark: Any) -> None:
    torch.set_num_threads(THREADS)
    images, ids = np.random.default_rng(1).random((BATCH, 224, 224), np.float32), np.arange(BATCH)
    pipeline, given = PaperPipeline(PRESET).eval(), torch.from_numpy(images)
    calls: dict[str, Callable[[], object]] = {"paper": lambda: pipeline(given)}
    for name in GOALS:
        engine = engines.load(bundle, precision=name, threads=THREADS)
        calls[name] = partial(score_slices, images, ids, engine, PRESET)
    with torch.inference_mode():
        seconds = benchmark.pedantic(in_turns, (calls, ROUNDS), rounds=1)
        peak = limits.gemm_peak("bf16", THREADS)
    for name, goal in GOALS.items():
        ratios = seconds["paper"] / seconds[name]
        benchmark.extra_info[name] = float(np.median(ratios))
        best = seconds["paper"].min() / seconds[name].min()
        print(f"\n{name}: {np.median(ratios):.2f}x (rounds {ratios.round(2)}, best {best:.2f}), goal {goal}")
    share = BATCH * cost.engine_operations(PRESET) / seconds["bf16"].min() / peak
    benchmark.extra_info["share of bf16 peak"] = share
    print(f"bf16: {100 * share:.0f} % of the bf16 matrix peak, {peak / 1e9:.0f} GFLOP/s")
