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
class Foreground:
    """values [n] float64: measured values of a sample's tissue. background: the raw value of air where it is one
    value, as in skull-stripped scans. threshold: measured values up to it are air, where air is noise. share: of all
    voxels that are tissue."""

    values: NDArray[np.float64]
    background: float | None
    threshold: float | None
    share: float


def find_foreground(view: Array, slope: float = 1.0, inter: float = 0.0) -> Foreground:
    """The tissue of axial slices [S, H, W] of raw voxels; a measured value is voxel * slope + inter.

    Every slice and a regular grid of each is looked at, so that the order of the slices does not matter.
    """
    raw = sample(view)
    background = constant_background(raw)
    inside = raw.ravel() if background is None else raw[raw != background]
    values = inside.astype(np.float64) * slope + inter
    if not values.size:
        return Foreground(values, background, None, 0.0)
    level = float(np.percentile(values, 1)) if background is None else background * slope + inter
    threshold = noise_threshold(values, level)
    if threshold is not None:
        values = values[values > threshold]
    return Foreground(values, background, threshold, values.size / raw.size)


def sample(view: Array, count: int = SAMPLED) -> Array:
    """At most about `count` voxels of [S, H, W]: all slices, every k-th row and column."""
    step = min(max(1, math.ceil(math.sqrt(view.size / count))), *view.shape[1:])
    return view[:, step // 2 :: step, step // 2 :: step]


def constant_background(raw: Array) -> float | None:
    """The raw value of air where it is one value, be it 0 or what z-scoring made of 0: the commonest value at the
    slices' edges, if it is common there and in the scan."""
    edges = np.concatenate([raw[:, [0, -1]].ravel(), raw[..., [0, -1]].ravel()])
    values, counts = np.unique(edges, return_counts=True)
    value = values[np.argmax(counts)]
    if counts.max() < 0.5 * edges.size or np.count_nonzero(raw == value) < 0.03 * raw.size:
        return None
    return float(value)


def noise_threshold(values: NDArray[np.float64], level: float) -> float | None:
    """The value that parts noise in air, near `level`, from tissue: the first valley of the histogram. None where
    few values lie near that level: air was masked away, or there is none in the picture."""
    distance = np.abs(values - level)
    reach = float(np.percentile(distance, 99))
    if reach == 0 or np.count_nonzero(distance < NEAR * reach) < NOISE_SHARE * values.size:
        return None
    counts, edges = np.histogram(values - level, bins=BINS, range=(0, reach))
    peak = int(np.argmax(counts[: BINS // 4]))
    last = max(int(np.searchsorted(edges, _otsu(counts, edges))), peak + 1)
    return level + float(edges[peak + int(np.argmin(counts[peak : last + 1])) + 1])


def _otsu(counts: NDArray[Any], edges: NDArray[Any]) -> float:
    """The threshold that parts a histogram into two classes that differ most (Otsu, 1979)."""
    centres = (edges[1:] + edges[:-1]) / 2
    share, mean = np.cumsum(counts)[:-1] / counts.sum(), np.cumsum(counts * centres)[:-1] / counts.sum()
    whole = float((counts * centres).sum() / counts.sum())
    between = (whole * share - mean) ** 2 / np.maximum(share * (1 - share), 1e-12)
    return float(edges[1 + int(np.argmax(between))])
