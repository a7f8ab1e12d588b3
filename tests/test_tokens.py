from __future__ import annotations

import numpy as np
import pytest

from maescan import tokens


def test_margin_reaches_into_the_next_patch():
    foreground = np.zeros((1, 32, 32), bool)
    foreground[0, 13, 5] = True
    assert tokens.foreground_patches(foreground, 16, margin=2).tolist() == [[True, False, False, False]]
    assert tokens.foreground_patches(foreground, 16, margin=3).tolist() == [[True, False, True, False]]


def test_set_is_foreground_and_its_nearest_neighbours():
    patches = np.zeros((4, 4), bool)
    patches[1:3, 1:3] = True
    ids = tokens.token_set(patches.ravel(), (8, 16))
    assert ids.tolist() == [1, 2, 4, 5, 6, 7, 9, 10] and ids.dtype == np.int32
    assert tokens.token_set(np.zeros(16, bool), (8, 16)).tolist() == []
    assert tokens.token_set(np.ones(16, bool), (8, 16)).tolist() == list(range(16))


@pytest.mark.parametrize("seed", range(5))
def test_buckets_waste_little_and_hold_every_slice(seed):
    counts = np.random.default_rng(seed).integers(0, 90, 500)
    buckets = tokens.choose_buckets(counts, 196, waste=0.10)
    padded = [min(b for b in buckets if b >= c) for c in counts if c]
    assert sum(padded) <= 1.10 * counts.sum() and buckets[-1] == 196 and len(buckets) <= 13
    assert all(size % tokens.MULTIPLE == 0 for size in buckets[:-1])


def test_one_bucket_where_one_is_enough():
    assert tokens.choose_buckets([196] * 10, 196) == (196,)
    assert tokens.choose_buckets([0, 0], 64) == (64,)
    assert tokens.choose_buckets([8] * 10 + [64], 64, waste=0.0) == (8, 64)
