"""Labelled slices made here, and their evaluation with an engine that needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.datasets import SliceSet
from maescan.evaluate.run import evaluate_slices
from maescan.options import EvaluateOptions

TINY = preset("tiny").replace(masks__passes=1)


def labelled_slices(patients: int = 6, seed: int = 0, masks: bool = True) -> SliceSet:
    """Discs of noise, 8 slices a patient; the abnormal ones hold a bright square."""
    rng = np.random.default_rng(seed)
    n = 8 * patients
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    radius = np.sqrt(rng.uniform(0.3, 0.8, n))
    images = (rng.uniform(0.2, 0.6, (n, 64, 64)) * (x**2 + y**2 < radius[:, None, None] ** 2)).astype(np.float32)
    label = (np.arange(n) % 3 == 0).astype(np.int8)
    mask = np.zeros((n, 64, 64), bool)
    mask[label == 1, 28:38, 28:38] = True
    images[mask] += 0.5
    patient = np.repeat([f"p{i}" for i in range(patients)], 8)
    area = (images > 0).mean(axis=(1, 2))
    return SliceSet(images, patient, np.arange(n) % 8, label, area, mask if masks else None)


def evaluated(out: Path, data: SliceSet | None = None, **options: Any) -> dict[str, Any]:
    model = {"bundle": "0" * 64, "engine": "fake"}
    few = EvaluateOptions(resamples=50, stressed=0, **options)
    return evaluate_slices(data or labelled_slices(), StubEngine(), TINY, out, model, few)


def healthy_slices(patients: int = 4, each: int = 6) -> SliceSet:
    rng = np.random.default_rng(0)
    n = patients * each
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    images = np.where(x**2 + y**2 < 0.6, rng.uniform(0.5, 1.5, (n, 64, 64)), 0).astype(np.float32)
    patient = np.repeat([f"p{i}" for i in range(patients)], each)
    area = (images > 0).mean(axis=(1, 2)).astype(np.float32)
    return SliceSet(images, patient, np.arange(n) % each, np.zeros(n, np.int8), area)
