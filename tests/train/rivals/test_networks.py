"""The rivals' networks."""

import pytest
import torch

from maescan.train.rivals.networks import UNet, down, up


@pytest.mark.parametrize("side", [32, 64])
def test_sides_come_back(side):
    images = torch.rand(2, 1, side, side)
    assert UNet(1, 3, 8)(images).shape == (2, 3, side, side)
    small = down(1, 8, 3)(images)
    assert small.shape == (2, 32, side // 8, side // 8)
    assert up(32, 8, 3)(small).shape == images.shape
