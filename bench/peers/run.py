"""maescan beside its peers on the same slices, in turns in one run: ratios with their spread.

    make bench-peers        or: .venv-peers/bin/python bench/peers/run.py [--only NAME ...] [--batch 4] [--rounds 5]
                            [--name cpu]

Random weights of the preset's sizes, so that nothing is downloaded. Only ratios within a round count: another
program's load falls on all alike. `work` says what a call does: `whole` is slice to score; `mae` the MAE's passes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from others import draem, draem_operations, vit_mae
from paper import PaperPipeline

import maescan.export as exporting
from maescan import engines, kernels
from maescan.benchmark import cost, limits, machine, weights
from maescan.config import Preset, preset
from maescan.engines.bundle import Bundle
from maescan.method.masks import make_masks
from maescan.method.score import score_slices

Call = Callable[[], object]
ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = "fp32", "bf16", "int8"
BASE = {"whole": "public PyTorch, eager fp32", "mae": "Hugging Face ViTMAE, eager fp32"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="parts of names")
    parser.add_argument("--name", default="cpu", help="of the files: peers-NAME.json, peers-NAME.md")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kernels.set_threads(arguments.threads)
    chosen, folder = preset(arguments.preset), ROOT / "build" / f"peers-{arguments.preset}"
    calls = peers(chosen, folder, arguments.batch, arguments.threads, arguments.only or [""])
    with torch.inference_mode():
        seconds = in_turns({name: call for name, (_, call) in calls.items()}, arguments.rounds)
        peaks = {name: limits.gemm_peak(name, arguments.threads, rounds=3) for name in PRECISIONS}
    report = {
        **machine.describe(),
        "command": " ".join(["python", *sys.argv]),
        "preset": arguments.preset,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "gemm_peak": peaks,
        "rows": [row(name, calls, seconds, chosen, arguments.batch, folder) for name in calls],
    }
    print(table(report))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"peers-{arguments.name}.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.out / f"peers-{arguments.name}.md").write_text(table(report) + "\n")


def peers(p: Preset, folder: Path, batch: int, threads: int, only: list[str]) -> dict[str, tuple[str, Call]]:
    """By name: the kind of work, and a call that does one batch of it."""
    side = p.model.image_size
    images = np.random.default_rng(0).random((batch, side, side), np.float32) * 2
    given, path = torch.from_numpy(images), bundle(p, folder)
    pipeline = PaperPipeline(p).eval()
    compiled: Any = torch.compile(pipeline)
    made: dict[str, tuple[str, Callable[[], Call]]] = {
        BASE["whole"]: ("whole", lambda: lambda: pipeline(given)),
        "public PyTorch, eager bf16": ("whole", lambda: half(pipeline, given)),
        "public PyTorch, compiled fp32": ("whole", lambda: lambda: compiled(given)),
        "public PyTorch, compiled bf16": ("whole", lambda: half(compiled, given)),
        "ONNX Runtime fp32": ("whole", lambda: ours(path, "onnx", "fp32", images, threads)[0]),
        BASE["mae"]: ("mae", lambda: vit_mae(p, images)),
        "anomalib DRAEM, OpenVINO": ("draem", lambda: draem(images, folder / "draem")),
    }
    for name in PRECISIONS:
        made[f"maescan OpenVINO {name}"] = ("whole", partial(part_of, 0, path, "openvino", name, images, threads))
        made[f"maescan MAE part {name}"] = ("mae", partial(part_of, 1, path, "openvino", name, images, threads))
    wanted = {name: pair for name, pair in made.items() if any(part in name for part in [*only, *BASE.values()])}
    return {name: (work, build()) for name, (work, build) in wanted.items()}


def half(model: Any, given: torch.Tensor) -> Call:
    def call() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return model(given)

    return call


def part_of(number: int, *arguments: Any) -> Call:
    """One of the two that `ours` gives."""
    return ours(*arguments)[number]


def ours(path: Path, target: str, precision: str, images: np.ndarray, threads: int) -> tuple[Call, Call]:
    """Slice to score, and the MAE's passes alone: masks, patches, models."""
    loaded = Bundle.load(path)
    engine = engines.load(loaded, target=target, precision=precision, threads=threads, trust=True)
    p, ids = loaded.preset, np.arange(len(images))
    tokens = np.tile(np.arange(p.model.tokens, dtype=np.int32), (len(images) * p.masks.passes, 1))

    def passes() -> object:
        keep_ids, restore_ids = make_masks(p.masks, ids, p.model.tokens)
        visible = kernels.patchify_visible(images, keep_ids, None, patch=p.model.patch_size)
        return engine.reconstruct(visible, tokens, keep_ids, restore_ids)

    return lambda: score_slices(images, ids, engine, p), passes


def bundle(p: Preset, folder: Path) -> Path:
    """The engines of random weights, kept between runs."""
    path = folder / "bundle"
    if not path.exists():
        images = weights.slices_of_a_phantom(p, folder / "phantom", 48)
        weights.random_bundle(p, folder, PRECISIONS, images)
        exporting.add_engine(path, ("onnx",), ("fp32",))
    return path


def in_turns(calls: dict[str, Call], rounds: int) -> dict[str, np.ndarray]:
    """Seconds [rounds] of every call, after one round that does not count (it compiles)."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
            print(f"round {turn}/{rounds} {name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return {name: np.array(found[1:]) for name, found in seconds.items()}


def row(
    name: str, calls: dict[str, Any], seconds: dict[str, np.ndarray], p: Preset, batch: int, folder: Path
) -> dict[str, Any]:
    """Ratio: how many times the rate of the kind's base, in each round (median, least, most)."""
    work, found = calls[name][0], seconds[name]
    operations = {"whole": cost.slice_operations(p), "mae": p.masks.passes * cost.mae(p)}
    each = operations[work] if work in operations else draem_operations(folder / "draem", p.model.image_size)
    ratios = seconds[BASE.get(work, BASE["whole"])] / found
    return {
        "name": name,
        "work": work,
        "gflop_a_slice": each / 1e9,
        "seconds": found.tolist(),
        "best_slices_per_second": batch / float(found.min()),
        "best_gflops": batch * each / float(found.min()) / 1e9,
        "ratio": [float(np.median(ratios)), float(ratios.min()), float(ratios.max())],
    }


def table(report: dict[str, Any]) -> str:
    lines = [
        "| what | work | GFLOP per slice | slices/s, best | GFLOP/s, best | x its base: median (least - most) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for each in sorted(report["rows"], key=lambda each: each["work"], reverse=True):
        rate, flops, ratio = each["best_slices_per_second"], each["best_gflops"], each["ratio"]
        lines.append(
            f"| {each['name']} | {each['work']} | {each['gflop_a_slice']:.1f} | {rate:.2f} | {flops:.0f} |"
            f" {ratio[0]:.2f} ({ratio[1]:.2f} - {ratio[2]:.2f}) |"
        )
    peaks = ", ".join(f"{name} {peak / 1e9:.0f}" for name, peak in report["gemm_peak"].items())
    return "\n".join([*lines, "", f"Matrix peak at the end of the run, GFLOP/s: {peaks}."])


if __name__ == "__main__":
    main()
