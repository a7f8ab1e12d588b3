"""Scores of a labelled set, by the very path that `maescan score` takes, and what its masks say about them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from maescan import progress
from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError
from maescan.evaluate.detection import Detections
from maescan.evaluate.lesions import lesion_contrast, lesion_share
from maescan.evaluate.pixels import PixelCounts
from maescan.method.engine import Engine
from maescan.method.tokens import not_air

Floats = NDArray[np.float64]


@dataclass
class Pixels:
    """Pixels of all slices with masks, by heat map and by brightness (the baseline), in the brain and everywhere;
    healthy: of the heat maps of slices without a lesion, in the brain."""

    heat: PixelCounts = field(default_factory=PixelCounts)
    heat_everywhere: PixelCounts = field(default_factory=PixelCounts)
    brightness: PixelCounts = field(default_factory=PixelCounts)
    healthy: PixelCounts = field(default_factory=PixelCounts)

    def add(self, images: NDArray[np.floating], heat: NDArray[np.floating], mask: NDArray[np.bool_]) -> None:
        brain = not_air(images) | mask
        self.heat.add(heat, mask, within=brain)
        self.heat_everywhere.add(heat, mask)
        self.brightness.add(images, mask, within=brain)
        none = ~mask.any(axis=(1, 2))
        self.healthy.add(heat[none], within=brain[none])


@dataclass(frozen=True)
class Scored:
    """Scores [N], higher is more abnormal; where the set has masks also `pixels`, and lesion size (share of the
    foreground) and contrast [N] (nan without a lesion), and lesions and peaks of the maps, where scipy is there.
    `seconds`: in the engine and kernels alone."""

    score: Floats
    pixels: Pixels | None
    size: Floats | None
    contrast: Floats | None
    seconds: float
    detections: Detections | None = None


def score_set(slices: SliceSet, engine: Engine, preset: Preset, *, batch: int = 32) -> Scored:
    """Scores every slice of a SliceSet. Raises DataError for a score that is not finite."""
    from maescan.method.heat import mapped_slices
    from maescan.method.score import score_slices

    n, mask, keys = len(slices.images), slices.mask, slices.keys
    score, size, contrast = np.empty(n), np.zeros(n), np.full(n, np.nan)
    pixels, seconds = Pixels() if mask is not None else None, 0.0
    detections = Detections(preset.model.patch_size // 2) if mask is not None and find_spec("scipy") else None
    for start in range(0, n, batch):
        progress.tell(start, n)
        part = np.s_[start : start + batch]
        images = np.ascontiguousarray(slices.images[part], np.float32)
        begun = time.perf_counter()
        scored = score_slices if mask is None else mapped_slices
        scores = scored(images, keys[part], engine, preset)
        seconds += time.perf_counter() - begun
        score[part] = scores.score
        if pixels is not None and mask is not None:
            lesion = np.asarray(mask[part], bool)
            heat = np.asarray(scores.difference).reshape(images.shape)
            pixels.add(images, heat, lesion)
            if detections is not None:
                detections.add(start, images, heat, lesion)
            size[part], contrast[part] = lesion_share(images, lesion), lesion_contrast(images, lesion)
    _refuse_nan(score, slices)
    return Scored(score, pixels, size if pixels else None, contrast if pixels else None, seconds, detections)


def _refuse_nan(score: Floats, slices: SliceSet) -> None:
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        first = f"slice {slices.slice[bad[0]]} of {slices.patient[bad[0]]}"
        raise DataError(
            f"{len(bad)} of {len(score)} scores are NaN or infinite, the first that of {first}",
            remedy="check the bundle with `maescan verify`",
        )
