"""Random numbers by counter: a draw depends on what it is for (seed, slice, epoch, purpose), not on earlier draws.

So training resumes after a kill, or splits over processes, with the same draws and no generator state to save.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

AUGMENT, ERASE, BOXES, PIXELS, NOISE, TRAIN_MASKS, ANOMALIES, JUDGE_MASKS, COARSE_NOISE = range(1, 10)  # purposes
ARTEFACTS = 12
PAIR_MASKS, VALIDATION_MASKS = 10, 20  # each has two: for the normal and for the altered half

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al., 2014): every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def words(seed: int, ids: ArrayLike, epoch: int, purpose: int, count: int) -> NDArray[np.uint64]:
    """`count` random 64-bit words for each id: ids [B] -> [B, count]."""
    state = np.asarray(ids).astype(np.uint64).reshape(-1, 1)
    for part in (seed, epoch, purpose):
        state = _mix(state + _GOLDEN * np.asarray([part + 1]).astype(np.uint64))
    return _mix(state + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


def uniforms(seed: int, ids: ArrayLike, epoch: int, purpose: int, count: int) -> NDArray[np.float64]:
    """`count` numbers of U[0, 1) for each id: ids [B] -> [B, count]."""
    return (words(seed, ids, epoch, purpose, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """A permutation of range(count): the order of the data in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def seed_of(seed: int, epoch: int, purpose: int, step: int = 0) -> int:
    """A 31-bit seed for a generator of another make."""
    return int(words(seed, [step], epoch, purpose, 1)[0, 0] >> np.uint64(33))
