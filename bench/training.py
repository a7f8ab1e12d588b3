"""Training-step benchmark: samples per second of MAE and classifier, and the share of the matrix peak that they use.

python bench/training.py [--device cuda|cpu] [--preset brats] [--batch 128] [--small] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from maescan.benchmark import cost
from maescan.config import Preset, preset
from maescan.models.classifier import Classifier
from maescan.models.mae import MaskedAutoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="preset tiny, batch 8, three steps")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.preset, arguments.batch, arguments.steps = "tiny", 8, 3
    chosen, device = preset(arguments.preset), torch.device(arguments.device)
    peak = gemm_peak(device)
    rows = []
    for name, step, operations in (
        _mae(chosen, arguments.batch, device),
        _classifier(chosen, arguments.batch, device),
    ):
        seconds = _time(step, arguments.steps, device)
        rate = arguments.batch / seconds
        rows.append(
            {
                "model": name,
                "samples_per_s": rate,
                "gflop_per_sample": operations / 1e9,
                "share_of_peak": rate * operations / peak,
            }
        )
        print(f"{name:<11} {rate:9.1f} samples/s  {100 * rows[-1]['share_of_peak']:5.1f} % of the bf16 matrix peak")
    if arguments.out:
        report = {
            "device": str(device),
            "batch": arguments.batch,
            "preset": arguments.preset,
            "peak_tflops": peak / 1e12,
            "rows": rows,
        }
        (arguments.out / f"training-{device.type}.json").write_text(json.dumps(report, indent=2) + "\n")


def gemm_peak(device: torch.device) -> float:
    """Measured bf16 matrix rate of `device`, in operations per second."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / _time(lambda: a @ b, 10, device)


def _mae(p: Preset, batch: int, device: torch.device) -> tuple[str, Callable[[], None], float]:
    model = MaskedAutoencoder(p.model).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    tokens, keep = p.model.tokens, p.masks.visible(p.model.tokens)
    patches = torch.randn(batch, tokens, p.model.patch_pixels, device=device)
    shuffle = torch.rand(batch, tokens, device=device).argsort(1)
    keep_ids, restore = shuffle[:, :keep].int(), shuffle.argsort(1).int()
    ids = torch.arange(tokens, device=device, dtype=torch.int32).expand(batch, -1).contiguous()
    visible = patches.gather(1, keep_ids.long()[..., None].expand(-1, -1, patches.shape[2]))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model.loss(model(visible, ids, keep_ids, restore), patches, restore, keep)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return "mae", step, 3 * cost.mae(p)


def _classifier(p: Preset, batch: int, device: torch.device) -> tuple[str, Callable[[], None], float]:
    model = Classifier(p.model, drop_path=p.classifier.drop_path).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    patches = torch.randn(batch, p.model.tokens, p.model.patch_pixels, device=device)
    ids = torch.arange(p.model.tokens, device=device, dtype=torch.int32).expand(batch, -1).contiguous()
    labels = torch.arange(batch, device=device) % 2

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(patches, ids), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return "classifier", step, 3 * cost.classifier(p)


def _time(step: Callable[[], object], repeats: int, device: torch.device) -> float:
    for _ in range(3):
        step()
    synchronize: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
