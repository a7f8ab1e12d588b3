"""Kernels against what they replace, interleaved in one run: times, ratios, and bytes moved over a plain copy's rate.

python bench/kernels.py [--device cpu|cuda] [--threads 2] [--small] [--out FOLDER or FILE.json]

Peers: numpy and scikit-image for extract_slices; torch.rand and argsort twice for make_masks; for the others the
chain of tensor operations of the public formulation (sections 3.2 to 3.4), without any model. The copy moves as many
bytes, read and written, on as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maescan import kernels

Step = Callable[[], object]
PASSES, PATCH, SIDE = 4, 16, 224


@dataclass(frozen=True)
class Case:
    """A kernel, its peer, and the bytes that must be read and written."""

    name: str
    ours: Step
    peer: Step
    moved: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--small", action="store_true", help="batch 2, three rounds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kernels.set_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    batch, rounds = (2, 3) if arguments.small else (32, arguments.rounds)
    rows = [measure(case, arguments.device, rounds) for case in cases(batch, arguments.device)]
    for row in rows:
        print(
            f"{row['kernel']:<22} {row['ms']:8.3f} ms  peer {row['peer_ms']:9.3f} ms  {row['ratio']:6.1f} x  "
            f"{100 * row['share_of_copy']:5.0f} % of a copy's rate"
        )
    if arguments.out:
        path = (
            arguments.out if arguments.out.suffix == ".json" else arguments.out / f"kernels-{arguments.device}.json"
        )
        report = {**origin(arguments.device), "threads": arguments.threads, "batch": batch, "rows": rows}
        path.write_text(json.dumps(report, indent=2) + "\n")


def measure(case: Case, device: str, rounds: int) -> dict[str, Any]:
    """The fastest of interleaved rounds, after two that warm up; medians beside them.

    Medians flatter the kernels on a busy machine: its load stalls OpenMP's barriers in the peers and in the copy.
    """
    source = torch.ones(max(case.moved // 2, 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    steps = case.ours, case.peer, lambda: target.copy_(source)
    times = [[seconds(step, device) for step in steps] for _ in range(rounds + 2)][2:]
    columns = list(zip(*times, strict=True))
    ours, peer, copy = (min(column) for column in columns)
    return {
        "kernel": case.name,
        "ms": 1e3 * ours,
        "peer_ms": 1e3 * peer,
        "copy_ms": 1e3 * copy,
        "ratio": peer / ours,
        "share_of_copy": copy / ours,
        "median_ms": [1e3 * statistics.median(column) for column in columns],
        "bytes": case.moved,
    }


def seconds(step: Step, device: str) -> float:
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def cases(batch: int, device: str) -> list[Case]:
    """The BraTS shape: slices of 224 x 224, four passes, a quarter of the patches visible."""
    tokens, pixels, rows = (SIDE // PATCH) ** 2, PATCH * PATCH, batch * PASSES
    keep = tokens // 4
    torch.manual_seed(0)
    x = torch.rand(batch, SIDE, SIDE, device=device)
    predictions = torch.rand(rows, tokens, pixels, device=device)
    ids = torch.arange(batch, device=device)
    options: dict[str, Any] = {"seed": 0, "passes": PASSES, "tokens": tokens, "keep": keep, "device": device}
    keep_ids, restore = kernels.make_masks(ids, **options)
    keep_ids, restore = (torch.as_tensor(made, device=device) for made in (keep_ids, restore))
    visible = torch.empty(rows, keep, pixels, device=device)
    difference = torch.empty(batch, 1, SIDE, SIDE, device=device)
    by_pass = [each.view(batch, PASSES, -1).long().unbind(1) for each in (keep_ids, restore)]
    predicted = [each.contiguous() for each in predictions.view(batch, PASSES, tokens, pixels).unbind(1)]
    image, words = 4 * batch * SIDE * SIDE, 4 * rows * pixels
    return [
        _extraction(batch, device),
        Case(
            "make_masks",
            lambda: kernels.make_masks(ids, **options),
            lambda: [_torch_masks(batch, tokens, keep, device) for _ in range(PASSES)],
            4 * rows * (tokens + keep),
        ),
        Case(
            "patchify_visible",
            lambda: kernels.patchify_visible(x, keep_ids, patch=PATCH, out=visible),
            lambda: [_torch_visible(x, each) for each in by_pass[0]],
            2 * words * keep,
        ),
        Case(
            "average_difference",
            lambda: kernels.average_difference(x, predictions, restore, keep=keep, patch=PATCH, out=difference),
            lambda: _torch_difference(x, predicted, by_pass[1], keep),
            2 * image + words * (tokens - keep) + 4 * rows * tokens,
        ),
    ]


def _extraction(batch: int, device: str) -> Case:
    from skimage.transform import resize

    volume = np.random.default_rng(0).integers(0, 2000, (batch, 240, 240)).astype(np.int16)
    here = torch.from_numpy(volume).to(device) if device == "cuda" else volume
    taps = kernels.resample_taps(240, SIDE)
    options: dict[str, Any] = {"scale": 1e-3, "offset": 0.0, "background": 0.0, "low": 0.0, "high": 2.0}

    def peer() -> object:
        scaled = np.clip(volume.astype(np.float32) * np.float32(1e-3), 0, 2)
        made = [resize(each, (SIDE, SIDE), order=3, anti_aliasing=True, mode="reflect") for each in scaled]
        return np.clip(np.stack(made), 0, 2).astype(np.float32)

    moved = volume.nbytes + 4 * batch * SIDE * SIDE
    return Case("extract_slices", lambda: kernels.extract_slices(here, taps, taps, **options), peer, moved)


def _torch_masks(batch: int, tokens: int, keep: int, device: str) -> object:
    shuffle = torch.rand(batch, tokens, device=device).argsort(dim=1)
    return shuffle[:, :keep], shuffle.argsort(dim=1)


def _patches(x: torch.Tensor) -> torch.Tensor:
    grid = x.shape[1] // PATCH
    split = torch.einsum("bhpwq->bhwpq", x.reshape(-1, grid, PATCH, grid, PATCH))
    return split.reshape(-1, grid * grid, PATCH * PATCH)


def _image(patches: torch.Tensor) -> torch.Tensor:
    grid = SIDE // PATCH
    split = torch.einsum("bhwpq->bhpwq", patches.reshape(-1, grid, grid, PATCH, PATCH))
    return split.reshape(-1, SIDE, SIDE)


def _torch_visible(x: torch.Tensor, keep_ids: torch.Tensor) -> torch.Tensor:
    patches = _patches(x)
    return torch.gather(patches, 1, keep_ids[..., None].expand(-1, -1, patches.shape[2]))


def _torch_difference(x: torch.Tensor, predicted: list[torch.Tensor], restore: Any, keep: int) -> torch.Tensor:
    """Each pass in full: the mask as an image, the visible pixels pasted back; then the mean and the difference."""
    passes = []
    for prediction, order in zip(predicted, restore, strict=True):
        hidden = torch.ones(order.shape, device=x.device)
        hidden[:, :keep] = 0
        hidden = torch.gather(hidden, 1, order)[..., None].expand(-1, -1, prediction.shape[2])
        mask = _image(hidden)
        passes.append(_image(prediction) * mask + x * (1 - mask))
    return (x - torch.stack(passes).mean(0)).abs()[:, None]


def origin(device: str) -> dict[str, Any]:
    """Machine, commit and command of a result."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    machine = {"cpu": cpu or platform.processor(), "cores": os.cpu_count(), "torch": torch.__version__}
    if device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "machine": machine,
        "load": os.getloadavg()[0],
        "commit": commit,
        "command": " ".join(["python", *sys.argv]),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
