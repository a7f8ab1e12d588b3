from __future__ import annotations

import numpy as np
import pytest

SIDE = 32


def slices(count, seed):
    """A bright ring around a plain disc, its places and levels drawn anew in each slice."""
    rng = np.random.default_rng(seed)
    at = np.arange(SIDE, dtype=np.float32)
    made = np.zeros((count, SIDE, SIDE), np.float32)
    for image in made:
        row, col = rng.uniform(14, 18, 2)
        distance = np.hypot(at[:, None] - row, at[None] - col)
        image[distance < 13] = rng.uniform(0.9, 1.1)
        image[(distance < 13) & (distance > 10)] = 1.4
        image[distance < 13] += rng.normal(0, 0.02, int((distance < 13).sum()))
    return made


@pytest.fixture(scope="session")
def healthy():
    return slices(64, 0)


@pytest.fixture(scope="session")
def pairs():
    """(healthy slices, the same with a bright spot in each, where [N, H, W])."""
    plain = slices(24, 1)
    where = np.zeros(plain.shape, bool)
    where[:, 13:19, 13:19] = True
    return plain, np.where(where, 1.9, plain).astype(np.float32), where
