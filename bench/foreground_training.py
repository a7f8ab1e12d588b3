"""Training with foreground tokens against the full grid: samples per second of both networks, in turns in one run.

    python bench/foreground_training.py [SCANS] [--preset brats] [--batch 128] [--step 1] [--rounds 3] [--out DIR]

The steps are training's own (PRESET and PRESET-fg: crops, masks, token sets, bf16, AdamW), on every STEP-th slice of
the scans (default: a phantom made for it). The full grid costs the same a sample in every
batch: it is timed on two of 32, which fit where 128 slow down for want of memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foreground import spread, with_buckets
from maescan import datasets
from maescan.config import Preset, preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.method import draws
from maescan.method.tokens import air_level
from maescan.models import Classifier, MaskedAutoencoder
from maescan.train.phases import ClassifierPhase, MaePhase

FEW, SMALL = 2, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--preset", default="brats")
    parser.add_argument("--modality")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.scans is None:
            arguments.scans = Path(folder)
            write_phantom(arguments.scans, healthy=4, lesions=0, seed=0, look=Look(shape=(240, 240, 60)))
        grid = preset(arguments.preset)
        images = np.asarray(datasets.load(arguments.scans, grid, modality=arguments.modality).images, np.float32)
    foreground = with_buckets(preset(f"{arguments.preset}-fg"), images, "hull")
    images = images[:: arguments.step]
    report: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "slices": len(images)}
    for name, make in (("mae", mae), ("classifier", classifier)):
        whole = Steps(make(images, grid), min(SMALL, arguments.batch))
        part = Steps(make(images, foreground), arguments.batch)
        rates = defaultdict(list)
        for turn in range(arguments.rounds + 1):
            for kind, found in (("full grid", whole.rate(FEW)), ("foreground", part.rate())):
                if turn:
                    rates[kind].append(found)
        ratio = spread(np.array(rates["foreground"]) / np.array(rates["full grid"]))
        print(f"{name:<11}" + "".join(f"{kind} {max(r):8.2f} samples/s   " for kind, r in rates.items()) + ratio)
        report[name] = {"samples_per_s": rates, "ratio": ratio}
    if arguments.out:
        (arguments.out / "foreground-training.json").write_text(json.dumps(report, indent=2) + "\n")


def mae(images: Any, p: Preset) -> MaePhase:
    return MaePhase(MaskedAutoencoder(p.model), images, p, seed=0)


def classifier(images: Any, p: Preset) -> ClassifierPhase:
    """On reconstructions that are the slices with some noise in the tissue, as a good MAE's would be."""
    noise = np.random.default_rng(0).normal(0, 0.05, (2, *images.shape)).astype(np.float32)
    nothing = images[:0], np.zeros(0, bool), None
    return ClassifierPhase(
        Classifier(p.model, p.classifier.drop_path),
        images,
        lambda _: images + noise * (images > air_level(p)),
        nothing,
        p,
        0,
    )


class Steps:
    """The steps of one epoch, as `train.loop` takes them."""

    def __init__(self, phase: Any, batch: int):
        self.phase, self.optimiser = phase, torch.optim.AdamW(phase.groups())
        phase.start_epoch(0)
        phase.model.train()
        order = draws.order(0, 0, phase.samples)
        self.parts = np.split(order, range(batch, phase.samples, batch))[: phase.samples // batch]

    def rate(self, count: int | None = None) -> float:
        """Samples a second over the first `count` steps of the epoch, or all."""
        parts = self.parts[:count]
        start = time.perf_counter()
        for ids in parts:
            batch = self.phase.batch(ids, 0)
            with torch.autocast("cpu", torch.bfloat16):
                loss = self.phase.loss(self.phase.model, batch, ids, 0)
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
        return sum(map(len, parts)) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
