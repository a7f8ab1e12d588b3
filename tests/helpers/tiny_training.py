"""Trainings of seconds: a preset, artificial slices, and what a run folder holds."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from maescan.config import PRESETS, ModelConfig, Preset, PseudoConfig
from maescan.datasets import SliceSet
from maescan.options import TrainOptions
from maescan.train import train

PRESET = PRESETS["tiny"].replace(
    model=ModelConfig(16, 4, 16, 2, 2, 16, 1, 2),
    pseudo=PseudoConfig((1, 4), (3, 8)),
    mae__epochs=2,
    mae__batch_size=8,
    mae__warmup_epochs=1,
    classifier__epochs=2,
    classifier__batch_size=16,
    classifier__warmup_epochs=1,
    classifier__base_lr=0.1,
    classifier__crop_scale=0.8,
    classifier__erasing=0.25,
    classifier__fresh_negatives=False,
)

TAKEN = "discs"


def slices(count: int = 40, size: int = 16) -> SliceSet:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    discs = [(y**2 + x**2 < rng.uniform(0.1, 0.2)) * rng.uniform(0.5, 1.5, (size, size)) for _ in range(count)]
    images = np.array(discs, np.float32)
    patients = np.array([f"p{i // 8}" for i in range(count)])
    area = (images > 0).mean(axis=(1, 2))
    return SliceSet(images, patients, np.arange(count) % 8, np.zeros(count, np.int8), area, taken=TAKEN)


def run(out: Path, preset: Preset = PRESET, data: SliceSet | None = None, **options: Any) -> Path:
    options = {"device": "cpu", "tensorboard": False, **options}
    return train(slices() if data is None else data, preset, out, TrainOptions(**options))


SIGNALLED = """
import os, sys
sys.path.insert(0, {tests!r})
from helpers import tiny_training
from maescan.train.loop import Trainer

def step(self, loaded, epoch, number, old=Trainer._step):
    if (self.phase.name, epoch, number) == {where!r}:
        os.kill(os.getpid(), {number})
    old(self, loaded, epoch, number)

Trainer._step = step
tiny_training.run({out!r}, checkpoint_s={seconds})
"""


def signalled(out: Path, number: int, where: tuple[str, int, int], seconds: float) -> int:
    """Exit code of a run that gets a signal before a step (phase, epoch, step); `seconds` between its checkpoints."""
    tests = str(Path(__file__).parents[1])
    code = SIGNALLED.format(tests=tests, where=where, number=int(number), out=str(out), seconds=seconds)
    return subprocess_run(code).returncode


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {name: load_file(folder / f"{name}.safetensors") for name in ("mae", "classifier")}


def differences(one: Path, two: Path) -> dict[str, float]:
    a, b = weights(one), weights(two)
    return {m: max((a[m][n] - b[m][n]).abs().max().item() for n in a[m]) for m in a}


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in csv.DictReader(file)]


def subprocess_run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **threads, **environment}, capture_output=True, text=True)
