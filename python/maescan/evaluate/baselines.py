"""What a slice gives away without any model. They stand in every table, so that no score is believed for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError
from maescan.evaluate.matched import position_in_brain
from maescan.evaluate.pixels import PixelCounts
from maescan.evaluate.ranking import auroc
from maescan.method.slices import SliceStore
from maescan.method.tokens import not_air

BRIGHT = 0.95
NAMES = ("tissue area", "slice position", "mean intensity", "bright pixels")


def trivial_scores(slices: SliceSet) -> dict[str, NDArray[np.float64]]:
    """Four numbers per slice [N] of a SliceSet:

    tissue area: share of foreground. slice position: how near to the patient's middle, -|position - 0.5|.
    mean intensity: over the whole slice. bright pixels: how many lie over the set's 95th percentile of foreground.
    """
    limit, means, bright = _bright_limit(slices.images), [], []
    for images in _batches(slices.images):
        means.append(images.mean(axis=(1, 2), dtype=np.float64))
        bright.append((images > limit).sum(axis=(1, 2)))
    position = position_in_brain(slices.patient, slices.height, slices.area)
    scores = (slices.area, -np.abs(position - 0.5), np.concatenate(means), np.concatenate(bright))
    return {name: np.asarray(score, np.float64) for name, score in zip(NAMES, scores, strict=True)}


def trivial_baselines(slices: SliceSet) -> dict[str, tuple[float, str]]:
    """Name -> (AUROC, "higher" or "lower"): the better direction of each is taken, which is kind to the baseline.

    Slices of unknown label are left out. Raises DataError with one class only.
    """
    known = np.asarray(slices.label) >= 0
    label = np.asarray(slices.label)[known]
    return {name: directed(auroc(label, score[known])) for name, score in trivial_scores(slices).items()}


def directed(value: float) -> tuple[float, str]:
    """An AUROC and the direction in which it is at least a half."""
    return (value, "higher") if value >= 0.5 else (1 - value, "lower")


def _batches(images: SliceStore, size: int = 64) -> Iterator[NDArray[np.float32]]:
    return (np.asarray(images[at : at + size], np.float32) for at in range(0, len(images), size))


def _bright_limit(images: SliceStore) -> float:
    counts = PixelCounts()
    for part in _batches(images):
        counts.add(part, within=not_air(part))
    try:
        return counts.quantile(BRIGHT)
    except DataError:  # every slice is blank: nothing is bright
        return float("inf")
