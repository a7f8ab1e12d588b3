"""What rivals share."""

import numpy as np
import torch

from maescan.train.rivals.common import Size, drawn, highest, in_batches, smoothed, tissue


def test_batches_are_as_many_as_asked_for_and_the_same_for_a_seed(healthy):
    size = Size(steps=3, batch=8, seed=2)
    first, again = (list(drawn(healthy, size)) for _ in range(2))
    assert [part.shape for part in first] == [(8, 1, 32, 32)] * 3
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], next(drawn(healthy, Size(steps=1, batch=8, seed=3))))


def test_a_blur_keeps_a_plain_map_and_spreads_a_point():
    assert torch.allclose(smoothed(torch.ones(1, 1, 9, 9), 1.0), torch.ones(1, 1, 9, 9))
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    spread = smoothed(point, 1.0)
    assert 0 < spread[0, 0, 4, 5] < spread[0, 0, 4, 4] < 1


def test_the_highest_share_and_tissue():
    maps = np.arange(200, dtype=np.float32).reshape(2, 10, 10)
    assert highest(maps, 0.02).tolist() == [98.5, 198.5]
    assert tissue(torch.tensor([[[[0.0, 2.0]]]])).flatten().tolist() == [0, 1]
    assert in_batches(maps, lambda part: part.sum(dim=(1, 2, 3)), "cpu").tolist() == maps.sum(axis=(1, 2)).tolist()
