from __future__ import annotations

import numpy as np
import pytest

from maescan import tokens
from maescan.config import preset
from maescan.errors import ConfigError


def test_margin_reaches_into_the_next_patch():
    foreground = np.zeros((1, 32, 32), bool)
    foreground[0, 13, 5] = True
    assert tokens.foreground_patches(foreground, 16, margin=2).tolist() == [[True, False, False, False]]
    assert tokens.foreground_patches(foreground, 16, margin=3).tolist() == [[True, False, True, False]]


def test_set_is_foreground_and_its_nearest_neighbours():
    patches = np.zeros((4, 4), bool)
    patches[1:3, 1:3] = True
    assert sorted(tokens.patch_order(patches.reshape(1, -1))[0, :8].tolist()) == [1, 2, 4, 5, 6, 7, 9, 10]


def test_sets_of_slices_are_buckets_of_their_foreground():
    tiny = preset("tiny").replace(tokens__method="foreground", tokens__buckets=(8, 24), tokens__margin=0)
    images = np.zeros((4, 64, 64), np.float32)
    images[1, 20:24, 20:24], images[2, 8:32, 8:40], images[3] = 1, 1, 1
    sets = tokens.token_sets(images, tiny)
    assert sets.count.tolist() == [0, 1, 12, 64] and sets.size.tolist() == [0, 8, 24, 64]
    assert [(size, which.tolist()) for size, which in sets.groups()] == [(8, [1]), (24, [2]), (64, [3])]
    ids = sets.ids(np.array([1]), 8)
    assert ids.shape == (1, 8) and ids.dtype == np.int32 and 18 in ids and (np.diff(ids) > 0).all()
    assert np.array_equal(tokens.token_sets(images[2:3], tiny).order[0], sets.order[2])


def test_whole_slices_need_no_sets_and_zscores_have_none():
    assert tokens.token_sets(np.ones((1, 64, 64)), preset("tiny")) is None
    with pytest.raises(ConfigError, match="zscore"):
        tokens.token_sets(
            np.ones((1, 64, 64)), preset("tiny").replace(tokens__method="foreground", intensity__method="zscore")
        )


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
