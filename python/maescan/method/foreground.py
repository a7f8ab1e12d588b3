"""Which voxels of a scan are tissue and which are air; air need not be 0, nor values positive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SAMPLED = 1_000_000  # voxels that are looked at: enough for a percentile to a thousandth of its rank
NOISE_SHARE = (
    0.25  # of the voxels that lie near air's level, from which air is noise: 0.11 at most where it was masked
)
NEAR, BINS = 0.1, 32  # near: within a tenth of the way from air to the 99th percentile


@dataclass(frozen=True, eq=False)
class Values:
    """Measured values, float64, of a sample of voxels; as a histogram where voxels are integers, which is what makes
    percentiles cheap. counts: how often each stands for; None: once."""

    levels: NDArray[np.float64]
    counts: NDArray[np.int64] | None = None

    @property
    def size(self) -> int:
        """How many there are."""
        return self.levels.size if self.counts is None else int(self.counts.sum())

    def above(self, threshold: float) -> Values:
        """Those over a threshold."""
        kept = self.levels > threshold
        return Values(self.levels[kept], None if self.counts is None else self.counts[kept])

    def less(self, level: float) -> Values:
        """Their differences to a level."""
        return Values(self.levels - level, self.counts)

    def percentiles(self, *wanted: float) -> tuple[float, ...]:
        """As `np.percentile`, to the bit."""
        if self.counts is None:
            return tuple(float(value) for value in np.percentile(self.levels, wanted))
        order = np.argsort(self.levels)
        levels, last = self.levels[order], np.cumsum(self.counts[order])
        return tuple(_between(levels, last, share / 100 * (int(last[-1]) - 1)) for share in wanted)

    def each(self) -> NDArray[np.float64]:
        """Every value [n], in ascending order where they are a histogram."""
        return self.levels if self.counts is None else np.repeat(self.levels, self.counts)


def _between(levels: NDArray[np.float64], last: NDArray[np.int64], place: float) -> float:
    """The value at a place, perhaps between two, of sorted values of which last[i] are levels[: i + 1]."""
    first = math.floor(place)
    a, b = (float(levels[np.searchsorted(last, min(i, int(last[-1]) - 1), side="right")]) for i in (first, first + 1))
    part = place - first
    return b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part


@dataclass(frozen=True, eq=False)
class Foreground:
    """measured: values of a sample's tissue. background: the raw value of air where it is one value, as in
    skull-stripped scans. threshold: measured values up to it are air, where air is noise. share: of all voxels that
    are tissue."""

    measured: Values
    background: float | None
    threshold: float | None
    share: float

    @property
    def values(self) -> NDArray[np.float64]:
        """Every value [n] of the sample's tissue."""
        return self.measured.each()


def find_foreground(view: Array, slope: float = 1.0, intercept: float = 0.0) -> Foreground:
    """The tissue of axial slices [S, H, W] of raw voxels; a measured value is voxel * slope + intercept.

    Every slice and a regular grid of each is looked at, so that the order of the slices does not matter.
    """
    raw = np.ascontiguousarray(sample(view))
    background = constant_background(raw)
    found, counts = histogram(raw) if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2 else (raw.ravel(), None)
    if background is not None:
        inside = found != background
        found, counts = found[inside], None if counts is None else counts[inside]
    values = Values(found.astype(np.float64) * slope + intercept, counts)
    if not values.size:
        return Foreground(values, background, None, 0.0)
    level = values.percentiles(1)[0] if background is None else background * slope + intercept
    threshold = noise_threshold(values, level)
    if threshold is not None:
        values = values.above(threshold)
    return Foreground(values, background, threshold, values.size / raw.size)


def histogram(raw: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct values of integers of at most 16 bits, ascending, and how often each stands."""
    low = int(np.iinfo(raw.dtype).min)
    counts = np.bincount(raw.ravel().astype(np.int64) - low)
    there = np.flatnonzero(counts)
    return there + low, counts[there]


def sample(view: Array, count: int = SAMPLED) -> Array:
    """At most about `count` voxels of [S, H, W]: all slices, every k-th row and column."""
    step = min(max(1, math.ceil(math.sqrt(view.size / count))), *view.shape[1:])
    return view[:, step // 2 :: step, step // 2 :: step]


def constant_background(raw: Array) -> float | None:
    """The raw value of air where it is one value, be it 0 or what z-scoring made of 0: the commonest value at the
    slices' edges, if it is common there and in the scan."""
    edges = np.concatenate([raw[:, [0, -1]].ravel(), raw[..., [0, -1]].ravel()])
    small = raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2
    if (edges == edges[0]).all():  # as where nothing but the brain was kept
        values, counts = edges[:1], np.array([edges.size])
    else:
        values, counts = histogram(edges) if small else np.unique(edges, return_counts=True)
    value = values[np.argmax(counts)]
    if counts.max() < 0.5 * edges.size or np.count_nonzero(raw == value) < 0.03 * raw.size:
        return None
    return float(value)


def noise_threshold(values: Values, level: float) -> float | None:
    """The value that parts noise in air, near `level`, from tissue: the first valley of the histogram. None where
    few values lie near that level: air was masked away, or there is none in the picture."""
    over = values.less(level)
    distance = Values(np.abs(over.levels), over.counts)
    (reach,) = distance.percentiles(99)
    near = distance.levels < NEAR * reach
    held = int(near.sum() if distance.counts is None else distance.counts[near].sum())
    if reach == 0 or held < NOISE_SHARE * values.size:
        return None
    counts, edges = np.histogram(over.levels, bins=BINS, range=(0, reach), weights=over.counts)
    if not counts.any():  # nothing is over air
        return level
    peak = int(np.argmax(counts[: BINS // 4]))
    last = max(int(np.searchsorted(edges, _otsu(counts, edges))), peak + 1)
    return level + float(edges[peak + int(np.argmin(counts[peak : last + 1])) + 1])


def _otsu(counts: NDArray[np.integer], edges: NDArray[np.floating]) -> float:
    """The threshold that parts a histogram into two classes that differ most (Otsu, 1979)."""
    centres = (edges[1:] + edges[:-1]) / 2
    share, mean = np.cumsum(counts)[:-1] / counts.sum(), np.cumsum(counts * centres)[:-1] / counts.sum()
    whole = float((counts * centres).sum() / counts.sum())
    between = (whole * share - mean) ** 2 / np.maximum(share * (1 - share), 1e-12)
    return float(edges[1 + int(np.argmax(between))])
