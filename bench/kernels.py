"""Kernels against what they replace, interleaved in one run: times, ratios, and bytes moved over a plain copy's rate.

python bench/kernels.py [--device cpu|cuda] [--threads 1 2] [--small] [--out FOLDER or FILE.json]

Peers: numpy and scikit-image for extract_slices, on a GPU torch's bicubic with antialiasing; torch.rand and argsort
twice for make_masks; for the others the chain of tensor operations of the public formulation (sections 3.2 to 3.4),
without any model. The copy moves as many bytes, read and written, on as many threads, into memory that exists already
as the kernels' outputs do; between two runs of either the peer drives their data out of the caches. make_masks
computes more than it moves, so has no copy.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maescan import kernels

Step = Callable[[], object]
PASSES, PATCH, SIDE = 4, 16, 224
DTYPES = ("float32", "float16", "bfloat16")
QUEUED = 8
"""Calls between two events of a GPU: launches of all but the first wait behind work."""


@dataclass(frozen=True)
class Case:
    """A kernel, its peer, and the bytes that must be read and written (0: what it computes is what costs)."""

    name: str
    dtype: str
    ours: Step
    peer: Step
    moved: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--small", action="store_true", help="batch 2, three rounds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    batch, rounds = (2, 3) if arguments.small else (arguments.batch, arguments.rounds)
    rows = []
    for threads in arguments.threads if arguments.device == "cpu" else [1]:
        for case in cases(batch, arguments.device):
            rows.append(measure(case, arguments.device, threads, rounds))
            print(line(rows[-1]), flush=True)
    if arguments.out:
        path = (
            arguments.out if arguments.out.suffix == ".json" else arguments.out / f"kernels-{arguments.device}.json"
        )
        report = {**origin(arguments.device), "batch": batch, "rows": rows}
        path.write_text(json.dumps(report, indent=2) + "\n")


def line(row: dict[str, Any]) -> str:
    share = f"{100 * row['share_of_copy']:5.0f} % of a copy's rate" if row["share_of_copy"] else ""
    name = f"{row['kernel']:<19} {row['dtype']:<9} {row['threads']} threads"
    return f"{name} {row['ms']:8.3f} ms  peer {row['peer_ms']:9.3f} ms  {row['ratio']:6.1f} x  {share}"


def measure(case: Case, device: str, threads: int, rounds: int) -> dict[str, Any]:
    """The fastest of interleaved rounds, after two that warm up; medians beside them.

    Medians flatter the kernels on a busy machine: its load stalls OpenMP's barriers in the peers.
    """
    steps = [case.ours, case.peer, *([copier(case.moved, device, threads)] if case.moved else [])]
    with use(threads):
        times = [[seconds(step, device) for step in steps] for _ in range(rounds + 2)][2:]
    return {**summary(case, list(zip(*times, strict=True))), "threads": threads}


def summary(case: Case, columns: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Seconds of the kernel, its peer and perhaps the copy, as a row of the table."""
    best = [min(column) for column in columns]
    return {
        "kernel": case.name,
        "dtype": case.dtype,
        "ms": 1e3 * best[0],
        "peer_ms": 1e3 * best[1],
        "copy_ms": 1e3 * best[2] if case.moved else None,
        "ratio": best[1] / best[0],
        "share_of_copy": best[2] / best[0] if case.moved else None,
        "median_ms": [1e3 * statistics.median(column) for column in columns],
        "bytes": case.moved,
    }


@contextmanager
def use(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    kernels.set_threads(threads)
    torch.set_num_threads(threads)
    yield
    kernels.set_threads(None)
    torch.set_num_threads(before)


def copier(moved: int, device: str, threads: int) -> Step:
    """Copies moved / 2 bytes; on the CPU as memcpy does, a part a thread."""
    if device == "cuda":
        source = torch.ones(moved // 2, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)
    wide = torch.ones(2, moved // 2, dtype=torch.uint8).numpy()  # torch's memory, as the kernels'
    parts = list(zip(*(np.array_split(half, threads) for half in wide), strict=True))
    others = ThreadPoolExecutor(threads)

    def copy() -> None:
        running = [others.submit(np.copyto, *part) for part in parts[1:]]
        np.copyto(*parts[0])
        wait(running)

    return copy


def seconds(step: Step, device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    for _ in range(QUEUED):
        step()
    last.record()
    last.synchronize()
    return 1e-3 * float(first.elapsed_time(last)) / QUEUED


def cases(batch: int, device: str) -> list[Case]:
    """The BraTS shape: slices of 224 x 224, four passes, a quarter of the patches visible."""
    torch.manual_seed(0)
    x = torch.rand(batch, SIDE, SIDE, device=device)
    made = [make(batch, device, x, dtype) for make in (_visible, _difference) for dtype in DTYPES]
    return [*(_extraction(batch, device, dtype) for dtype in DTYPES), _masks(batch, device), *made]


def _extraction(batch: int, device: str, dtype: str) -> Case:
    from skimage.transform import resize

    volume = np.random.default_rng(0).integers(0, 2000, (batch, 240, 240)).astype(np.int16)
    here = torch.from_numpy(volume).to(device)
    taps, out = kernels.resample_taps(240, SIDE), _empty((batch, SIDE, SIDE), dtype, device)
    options: dict[str, Any] = {"scale": 1e-3, "offset": 0.0, "background": 0.0, "low": 0.0, "high": 2.0}

    def peer() -> object:
        scaled = np.clip(volume.astype(np.float32) * np.float32(1e-3), 0, 2)
        shape: Any = {"output_shape": (SIDE, SIDE), "order": 3, "anti_aliasing": True, "mode": "reflect"}
        made = [resize(each, **shape) for each in scaled]  # type: ignore[no-untyped-call]
        return torch.from_numpy(np.clip(np.stack(made), 0, 2)).to(out.dtype)

    def peer_there() -> object:
        scaled = torch.clamp(here.float() * 1e-3, 0, 2)[:, None]
        made = torch.nn.functional.interpolate(scaled, (SIDE, SIDE), mode="bicubic", antialias=True)
        return torch.clamp(made, 0, 2).to(out.dtype)

    def ours() -> object:
        return kernels.extract_slices(here, taps, taps, **options, dtype=dtype, out=out)

    return Case("extract_slices", dtype, ours, peer if device == "cpu" else peer_there, volume.nbytes + out.nbytes)


def _options(tokens: int = (SIDE // PATCH) ** 2) -> dict[str, Any]:
    return {"seed": 0, "passes": PASSES, "tokens": tokens, "keep": tokens // 4}


def _masks(batch: int, device: str) -> Case:
    rows, options = batch * PASSES, _options()
    ids: Any = torch.arange(batch).cuda() if device == "cuda" else np.arange(batch)
    return Case(
        "make_masks",
        "int32",
        lambda: kernels.make_masks(ids, **options, device=device),
        lambda: _torch_masks(rows, options["tokens"], options["keep"], device),
    )


def _torch_masks(rows: int, tokens: int, keep: int, device: str) -> object:
    shuffle = torch.rand(rows, tokens, device=device).argsort(dim=1)
    return shuffle[:, :keep], shuffle.argsort(dim=1)


def _made_masks(batch: int, device: str) -> list[torch.Tensor]:
    made = kernels.make_masks(torch.arange(batch, device=device), **_options(), device=device)
    return [torch.as_tensor(each, device=device) for each in made]


def _by_pass(ids: torch.Tensor, batch: int) -> tuple[torch.Tensor, ...]:
    return ids.view(batch, PASSES, -1).long().unbind(1)


def _empty(shape: tuple[int, ...], dtype: str, device: str) -> torch.Tensor:
    return torch.zeros(shape, dtype=getattr(torch, dtype), device=device)


def _visible(batch: int, device: str, x: torch.Tensor, dtype: str) -> Case:
    keep_ids = _made_masks(batch, device)[0]
    out, by_pass = _empty((*keep_ids.shape, PATCH * PATCH), dtype, device), _by_pass(keep_ids, batch)
    return Case(
        "patchify_visible",
        dtype,
        lambda: kernels.patchify_visible(x, keep_ids, patch=PATCH, dtype=dtype, out=out),
        lambda: [_torch_visible(x, each).to(out.dtype) for each in by_pass],
        4 * out.numel() + out.nbytes,
    )


def _difference(batch: int, device: str, x: torch.Tensor, dtype: str) -> Case:
    """Of the predictions only the hidden ones must move."""
    options, restore = _options(), _made_masks(batch, device)[1]
    shape = (batch * PASSES, options["tokens"], PATCH * PATCH)
    predictions, out = (
        torch.rand(shape, device=device).to(getattr(torch, dtype)),
        _empty((batch, 1, SIDE, SIDE), "float32", device),
    )
    by_pass = [each.contiguous() for each in predictions.view(batch, PASSES, *shape[1:]).unbind(1)]
    orders, keep = _by_pass(restore, batch), options["keep"]
    hidden = predictions.nbytes * (options["tokens"] - keep) // options["tokens"]
    return Case(
        "average_difference",
        dtype,
        lambda: kernels.average_difference(x, predictions, restore, keep=keep, patch=PATCH, out=out),
        lambda: _torch_difference(x, by_pass, orders, keep),
        x.nbytes + out.nbytes + hidden + restore.nbytes,
    )


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
        passes.append(_image(prediction.float()) * mask + x * (1 - mask))
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
