"""Ablations of seconds: a preset, and slices of which every second one is called abnormal."""

from __future__ import annotations

import numpy as np

from maescan.config import ModelConfig, PseudoConfig, preset
from maescan.datasets import SliceSet

SMALL = preset("tiny").replace(
    model=ModelConfig(32, 8, 16, 1, 2, 16, 1, 2),
    pseudo=PseudoConfig((1, 3), (4, 12)),
    mae__epochs=2,
    mae__batch_size=16,
    mae__warmup_epochs=0,
    classifier__epochs=1,
    classifier__batch_size=16,
    classifier__warmup_epochs=0,
    masks__passes=2,
)


def half_ill(patients: int = 4, each: int = 8) -> SliceSet:
    rng = np.random.default_rng(0)
    n = patients * each
    images = rng.uniform(0.2, 1, (n, 32, 32)).astype(np.float32)
    images[:, :6] = 0
    label = (np.arange(n) % 2).astype(np.int8)
    patient = np.repeat([f"p{i}" for i in range(patients)], each)
    return SliceSet(images, patient, np.arange(n) % each, label, (images > 0).mean(axis=(1, 2)))
