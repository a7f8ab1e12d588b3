"""Rivals judged as we are: the same slices, the same metrics, the same lesions put in."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.evaluate.scored import Scored
from maescan.evaluate.stress import Answer, Healthy, stress_slices
from maescan.evaluate.stress import summarise as summarise_stress
from maescan.evaluate.summary import summarise
from maescan.train.rivals import Rival, Size, rival
from maescan.train.rivals.common import Floats

STRESSED = 128
WIDE = 112  # pixels of a slice: from here on a rival is as wide and learns as long as its paper has it
PAPERS = Size(width=64, steps=20_000)


def size_for(preset: Preset, seed: int, device: str) -> Size:
    """Small ones that learn within 20 minutes for small slices; the papers' for large ones, which want a GPU."""
    papers = preset.model.image_size >= WIDE
    return Size(PAPERS.width, PAPERS.steps, seed=seed, device=device) if papers else Size(seed=seed, device=device)


def fitted(name: str, healthy: SliceSet, size: Size) -> Rival:
    """A rival that has learnt from healthy slices."""
    made = rival(name, size)
    made.fit(healthy.images)
    return made


def judge_rival(fitted: Rival, test: SliceSet, preset: Preset, stressed: int = STRESSED) -> Json:
    """`evaluate`'s metrics of a rival on labelled slices, and "stress" on `stressed` of the healthy ones."""
    images = np.ascontiguousarray(test.images, np.float32)
    begun = time.perf_counter()
    score = fitted.score(images)[0].astype(np.float64)
    metrics = summarise(test, Scored(score, None, None, None, time.perf_counter() - begun), probability=False)
    metrics["stress"] = stress_rival(fitted, test, preset, stressed)
    return metrics


def stress_rival(fitted: Rival, test: SliceSet, preset: Preset, stressed: int) -> Json:
    """`stress.summarise` of a rival on healthy slices. Raises DataError where there are none."""
    healthy = Healthy(test, preset, most=stressed)
    return summarise_stress(stress_slices(healthy, scorer(fitted.score)))


def scorer(
    score: Callable[[Floats], tuple[Floats, Floats]],
) -> Callable[[NDArray[np.float32], NDArray[np.uint64]], Answer]:
    """`stress`'s face of a rival: it draws no masks, so their keys are nothing to it."""

    def answer(images: NDArray[np.float32], keys: NDArray[np.uint64]) -> Answer:
        assert len(keys) == len(images)
        values, maps = score(images)
        return {"score": values}, maps

    return answer
