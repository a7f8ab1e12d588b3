"""The rivals' networks."""

import pytest
import torch

from maescan.train.rivals.networks import Backbone, UNet, down, up


@pytest.mark.parametrize("side", [32, 64])
def test_sides_come_back(side):
    images = torch.rand(2, 1, side, side)
    assert UNet(1, 3, 8)(images).shape == (2, 3, side, side)
    small = down(1, 8, 3)(images)
    assert small.shape == (2, 32, side // 8, side // 8)
    assert up(32, 8, 3)(small).shape == images.shape


def test_the_backbone_is_frozen_and_settled_by_what_it_saw():
    backbone, images = Backbone(0), torch.rand(16, 1, 32, 32)
    backbone.settle(images)
    first = backbone(images)
    assert [part.shape[1:] for part in first] == [(64, 8, 8), (128, 4, 4)]
    assert not any(weight.requires_grad for weight in backbone.parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, backbone(images), strict=True))
    other = Backbone(1)
    other.settle(images)
    assert not torch.allclose(first[0], other(images)[0])
