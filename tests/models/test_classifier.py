"""The classifier against the equations of Dosovitskiy et al. (2021)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from helpers.networks_by_hand import SMALL, linear, norm, transformer, weights
from maescan.models import Classifier


def test_classifier_averages_the_patches_and_not_the_class_token():
    torch.manual_seed(2)
    model = Classifier(SMALL).eval()
    torch.nn.init.normal_(model.head.weight)
    patches = torch.rand(2, 16, 64)
    w = weights(model)
    x = patches.numpy() @ w["patch_embed.proj.weight"].reshape(48, -1).T + w["pos_embed"][:, 1:]
    x = np.concatenate([np.repeat(w["cls_token"] + w["pos_embed"][:, :1], 2, axis=0), x], axis=1)
    x = transformer(x, w, "blocks", 3, 4)[:, 1:].mean(1)
    logits = model(patches, torch.arange(16).expand(2, -1)).detach().numpy()
    assert np.abs(logits - linear(norm(x, w, "fc_norm"), w, "head")).max() < 1e-5


def test_score_is_the_probability_of_class_0():
    model = Classifier(SMALL).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([3.0, 0.0]))
    assert model.score(torch.rand(1, 16, 64), torch.arange(16)[None]).item() == pytest.approx(
        1 / (1 + math.exp(-3)), abs=1e-3
    )


def test_classifier_starts_from_the_encoder(mae):
    classifier = Classifier(SMALL)
    head = classifier.head.weight.clone()
    classifier.start_from(mae.state_dict())
    shared = [name for name in classifier.state_dict() if not name.startswith(("fc_norm", "head"))]
    assert all(torch.equal(classifier.state_dict()[name], mae.state_dict()[name]) for name in shared)
    assert len(shared) > 30 and torch.equal(classifier.head.weight, head)


def test_drop_path_acts_only_in_training():
    torch.manual_seed(0)
    model, patches, ids = Classifier(SMALL, drop_path=0.9), torch.rand(8, 16, 64), torch.arange(16).expand(8, -1)
    torch.nn.init.normal_(model.head.weight)
    assert not torch.equal(model(patches, ids), model(patches, ids))
    assert torch.equal(model.eval()(patches, ids), model(patches, ids))


def test_the_gradient_of_its_positions_is_the_same_bits_each_time_on_several_threads():
    """PyTorch adds up that of an indexed parameter in the order in which threads come."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    model, ids = Classifier(SMALL), torch.stack([torch.randperm(16)[:12] for _ in range(128)])
    patches, toward = torch.rand(128, 12, 64), torch.randn(128, 13, SMALL.encoder_dim)

    def gradient() -> torch.Tensor:
        model.zero_grad()
        (model.embed(patches, ids) * toward).sum().backward()
        return model.pos_embed.grad.clone()

    try:
        torch.set_num_threads(2)
        first = gradient()
        assert all(torch.equal(first, gradient()) for _ in range(20))
    finally:
        torch.set_num_threads(before)
