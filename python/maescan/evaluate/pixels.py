"""Localisation: how well a heat map tells lesion pixels, over any number of slices in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.errors import DataError

BITS = 20
"""Leading bits of a float32 kept as its bin: values within a 2048th of each other may count as equal."""


class PixelCounts:
    """Pixels counted by value and by lesion or not; `add` slices in any order and batches, the answers are the same
    to the last digit."""

    def __init__(self) -> None:
        self.lesion = np.zeros(1 << BITS, np.int64)
        self.normal = np.zeros(1 << BITS, np.int64)

    def add(self, values: ArrayLike, mask: ArrayLike | None = None, within: ArrayLike | None = None) -> None:
        """Counts `values` (any shape); `mask` is true on lesions (None: there are none), pixels not `within` are
        left out. Raises DataError for values that are not finite."""
        value = np.asarray(values, np.float32)
        if not np.isfinite(value).all():
            raise DataError("a heat map holds NaN or infinite values")
        lesion = np.zeros(value.shape, bool) if mask is None else np.asarray(mask, bool)
        inside = np.ones(value.shape, bool) if within is None else np.asarray(within, bool)
        bins = _bins(value)
        self.lesion += np.bincount(bins[lesion & inside], minlength=1 << BITS)
        self.normal += np.bincount(bins[~lesion & inside], minlength=1 << BITS)

    def auroc(self) -> float:
        """Chance that a lesion pixel has a higher value than another, ties half. Raises DataError without both."""
        self._both()
        below = np.cumsum(self.normal) - self.normal / 2
        return float(np.sum(self.lesion * below) / self.lesion.sum() / self.normal.sum())

    def best_dice(self) -> tuple[float, float]:
        """(Dice, threshold) of the one threshold for all slices that is best in hindsight: an upper bound, not what
        a threshold chosen beforehand would reach. Raises DataError without lesion pixels."""
        self._both()
        hits, marked = (np.cumsum(counts[::-1])[::-1] for counts in (self.lesion, self.lesion + self.normal))
        dice = 2 * hits / (marked + self.lesion.sum())
        best = len(dice) - 1 - int(np.argmax(dice[::-1]))  # the highest of equal thresholds
        return float(dice[best]), _lower_edge(best)

    def dice_at(self, threshold: float) -> float:
        """Dice of what lies at or over a threshold, to the bin. Raises DataError without lesion pixels."""
        self._both()
        bin_ = int(_bins(np.array([threshold], np.float32))[0])
        marked = self.lesion[bin_:].sum() + self.normal[bin_:].sum()
        return float(2 * self.lesion[bin_:].sum() / (marked + self.lesion.sum()))

    def quantile(self, share: float) -> float:
        """The value that a share `share` of the pixels lies under, to the bin. Raises DataError without pixels."""
        total = np.cumsum(self.lesion + self.normal)
        if not total[-1]:
            raise DataError("there are no pixels to count")
        return _lower_edge(int(np.searchsorted(total, max(1, share * total[-1]))))

    def least_over(self, share: float) -> float:
        """The least edge of a bin that a share `share` of the pixels lies under, equal values among them."""
        bin_ = int(_bins(np.array([self.quantile(share)], np.float32))[0])
        return _lower_edge(min(bin_ + 1, (1 << BITS) - 1))

    def _both(self) -> None:
        if not self.lesion.sum() or not self.normal.sum():
            missing = "lesion" if not self.lesion.sum() else "normal"
            raise DataError(f"there are no {missing} pixels", remedy="masks are needed to measure localisation")


def _bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bins in the order of the values: the bit pattern of a float, with the sign turned into the top bit."""
    bits = np.ascontiguousarray(values + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - BITS)).astype(np.int64)


def _lower_edge(bin_: int) -> float:
    ordered = np.uint32(bin_ << (32 - BITS))
    bits = ordered & np.uint32(0x7FFFFFFF) if ordered >> 31 else ~ordered
    return float(np.array([bits], np.uint32).view(np.float32)[0])
