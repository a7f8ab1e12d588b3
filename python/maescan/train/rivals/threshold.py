"""Thresholding: how far a pixel is from what tissue usually is (after Meissen et al., 2021, who take the bright)."""

from __future__ import annotations

import numpy as np

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, highest, in_batches, smoothed


class Threshold:
    """Brightness or darkness in deviations of healthy tissue, the latter at an eighth: fluid is dark and healthy."""

    DARK = 0.125

    def __init__(self, size: Size) -> None:
        self.size, self.mean, self.spread = size, 0.0, 1.0

    def fit(self, healthy: SliceStore) -> None:
        """Mean and deviation of tissue."""
        some = np.asarray(healthy[np.unique(np.linspace(0, len(healthy) - 1, 256).astype(int))], np.float32)
        inside = some[some > some.min()]
        self.mean, self.spread = float(inside.mean()), float(inside.std()) or 1.0

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The mean of the highest hundredth of the pixels, after a blur of a pixel."""
        air = slices <= slices.min(axis=(1, 2), keepdims=True)
        change = (slices - self.mean) / self.spread
        maps = np.where(air, 0, np.where(change > 0, change, -self.DARK * change)).astype(np.float32)
        maps = in_batches(maps, lambda part: smoothed(part, 1.0)[:, 0], "cpu")
        return highest(maps), maps
