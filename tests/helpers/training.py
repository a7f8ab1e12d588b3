"""Healthy slices and a judge's preset so small that a training takes seconds."""

from __future__ import annotations

import numpy as np

from maescan.config import PRESETS, JudgeTraining, ModelConfig, PseudoConfig
from maescan.datasets import SliceSet

SMALL = PRESETS["tiny+"].replace(
    model=ModelConfig(32, 4, 16, 2, 2, 16, 1, 2),
    pseudo=PseudoConfig((1, 4), (3, 8)),
    mae__epochs=2,
    mae__batch_size=8,
    mae__warmup_epochs=1,
    judge=JudgeTraining(dim=16, depth=1, folds=2, epochs=2, batch_size=16, base_lr=0.05, warmup_epochs=1),
)


def slices(patients: int = 5, each: int = 6, size: int = 32) -> SliceSet:
    """Discs of smooth noise, `each` a patient."""
    rng = np.random.default_rng(0)
    count = patients * each
    y, x = np.mgrid[:size, :size] / size - 0.5
    grain = rng.uniform(0.5, 1.5, (count, size // 4, size // 4)).repeat(4, axis=1).repeat(4, axis=2)
    images = ((y**2 + x**2 < rng.uniform(0.1, 0.2, (count, 1, 1))) * grain).astype(np.float32)
    names = np.array([f"p{i // each}" for i in range(count)])
    area = (images > 0).mean(axis=(1, 2)).astype(np.float32)
    return SliceSet(images, names, np.arange(count) % each, np.zeros(count, np.int8), area)
