"""Resampling along one axis as one banded linear operator: anti-aliasing, cubic prefilter and sampling together."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DROPPED = 1e-5  # the sum of absolute weights that a row may lose to the band
DENSE = 1024  # samples up to which the operator is a product of matrices, which take n x n numbers each
POLE, REACH = np.sqrt(3) - 2, 32  # of the inverse of the B-spline, which falls to 1e-18 within so many samples


@dataclass(frozen=True, eq=False)
class Taps:
    """out[i] = sum_j weights[i, j] * in[index[i] + j]; index [n_out] int32, weights [n_out, width] float32.

    Always 0 <= index and index + width <= n_in. A row of zeros is an output outside the input (air).
    """

    index: NDArray[np.int32]
    weights: NDArray[np.float32]
    n_in: int


@functools.lru_cache(maxsize=64)
def resample_taps(n_in: int, n_out: int, *, start: float = 0.0, step: float | None = None) -> Taps:
    """The operator from n_in to n_out samples; output i is centred on input start + (i + 0.5) * step - 0.5.

    With the defaults (start 0, step n_in / n_out) it equals one axis of `skimage.transform.resize(order=3,
    mode="reflect", anti_aliasing=True, clip=False)` within 1e-4 of the input's range. Outputs centred beyond the
    input's edges (below -0.5 or above n_in - 0.5) have zero weights. Step 1 at whole positions copies exactly.
    Raises ValueError for sizes below 1 or a step that is not positive.
    """
    if n_in < 1 or n_out < 1:
        raise ValueError(f"cannot resample {n_in} samples to {n_out}")
    step = n_in / n_out if step is None else step
    if not (np.isfinite(start) and np.isfinite(step) and step > 0):
        raise ValueError(f"start {start} and step {step} must be finite, step above 0")
    centres = start + (np.arange(n_out) + 0.5) * step - 0.5
    outside = (centres < -0.5) | (centres > n_in - 0.5)
    if n_in > DENSE:
        rows, first = _windows(np.clip(centres, -0.5, n_in - 0.5), n_in, (step - 1) / 2)
    else:
        rows, first = _sampling(centres, n_in) @ _unfiltered(n_in), np.zeros(n_out, np.int64)
        rows = rows if step <= 1 else rows @ _gaussian(n_in, (step - 1) / 2)
    rows[outside] = 0
    return _banded(rows, first, n_in)


def _mirrored(position: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Indices reflected about the centres of the edge samples (SciPy's mode "mirror")."""
    period = max(2 * (n - 1), 1)
    inside = np.abs(position) % period
    return np.minimum(inside, period - inside) if n > 1 else np.zeros_like(position)


def _scatter(position: NDArray[np.int64], weights: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    """The dense rows of position, weights [rows, taps] with mirrored edges."""
    dense = np.zeros((len(position), n))
    np.add.at(dense, (np.arange(len(position))[:, None], _mirrored(position, n)), weights)
    return dense


def _sampling(centres: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    """Cubic B-spline at the centres."""
    first, weights = _spline(centres)
    return _scatter(first[:, None] + np.arange(-1, 3), weights, n)


def _spline(centres: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """The sample before each centre, and the weights [rows, 4] from the one before that on."""
    first = np.floor(centres).astype(np.int64)
    t = (centres - first)[:, None]
    return first, np.hstack([(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]) / 6


@functools.lru_cache(maxsize=8)
def _unfiltered(n: int) -> NDArray[np.floating]:
    """Samples to B-spline coefficients: the inverse of the B-spline at the samples."""
    return np.linalg.inv(_sampling(np.arange(n, dtype=np.float64), n)) if n > 1 else np.ones((1, 1))


def _gaussian(n: int, sigma: float) -> NDArray[np.floating]:
    """Anti-aliasing of scikit-image: a Gaussian cut off at four sigma."""
    offsets, kernel = _bell(sigma)
    return _scatter(np.arange(n)[:, None] + offsets, np.tile(kernel, (n, 1)), n)


def _bell(sigma: float) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return offsets, kernel / kernel.sum()


def _windows(centres: NDArray[np.floating], n: int, sigma: float) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The rows of all three steps [rows, width], each from its sample `first` [rows] on, without a matrix: on a line
    that goes on mirrored for ever they are one convolution, whose ends are then folded back."""
    kernel = np.sqrt(3) * POLE ** np.abs(np.arange(-REACH, REACH + 1))
    kernel = np.convolve(kernel, _bell(sigma)[1]) if sigma > 0 else kernel
    at, weights = _spline(centres)
    wide = np.zeros((len(centres), len(kernel) + 3))
    for tap in range(4):
        wide[:, tap : tap + len(kernel)] += weights[:, tap, None] * kernel
    start, width = at - 1 - len(kernel) // 2, min(wide.shape[1], n)
    first = np.clip(start, 0, n - width)
    place = _mirrored(start[:, None] + np.arange(wide.shape[1]), n) - first[:, None]
    rows = np.zeros((len(centres), width))
    np.add.at(rows, (np.arange(len(centres))[:, None], place), wide)
    return rows, first


def _banded(rows: NDArray[np.floating], start: NDArray[np.int64], n_in: int) -> Taps:
    """The narrowest band that loses no more than DROPPED of any row, which begins at its sample `start`; rows keep
    their sum."""
    count = rows.shape[1]
    left = np.cumsum(np.abs(rows), axis=1)
    right = np.cumsum(np.abs(rows)[:, ::-1], axis=1)
    first = (left <= DROPPED / 2).sum(axis=1)
    last = count - (right <= DROPPED / 2).sum(axis=1)  # one past
    width = max(int((last - first).max()), 1)
    index = np.clip(np.minimum(first, count - width), 0, None)
    weights = np.take_along_axis(rows, index[:, None] + np.arange(width), axis=1)
    total = weights.sum(axis=1, keepdims=True)
    weights *= np.divide(rows.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total != 0)
    made = Taps((start + index).astype(np.int32), _exact(weights).astype(np.float32), n_in)
    made.index.flags.writeable = made.weights.flags.writeable = False
    return made


def _exact(weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rounding of the inverse removed, so that a copy is exact."""
    near = np.round(weights)
    return np.where(np.abs(weights - near) < 1e-12, near, weights)
