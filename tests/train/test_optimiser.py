"""Groups, decay and rates."""

from __future__ import annotations

import math

import pytest

from helpers.tiny_training import PRESET, run
from maescan.models import Classifier, MaskedAutoencoder
from maescan.train import optimiser


def test_no_decay_on_biases_and_norms():
    groups = optimiser.parameter_groups(MaskedAutoencoder(PRESET.model), 0.05)
    assert [(g["weight_decay"], g["lr_scale"], {p.ndim > 1 for p in g["params"]}) for g in groups] == [
        (0.05, 1.0, {True}),
        (0.0, 1.0, {False}),
    ]


def test_layer_decay_by_depth():
    model = Classifier(PRESET.model)
    scale = {
        id(p): (g["lr_scale"], g["weight_decay"])
        for g in optimiser.parameter_groups(model, 0.05, 0.5)
        for p in g["params"]
    }
    named = {name: scale[id(p)] for name, p in model.named_parameters()}
    assert len(named) == len(list(model.parameters()))
    assert named["head.weight"] == (1, 0.05) and named["fc_norm.weight"] == (1, 0)
    assert named["blocks.1.mlp.fc1.weight"] == (0.5, 0.05) and named["blocks.0.mlp.fc1.bias"] == (0.25, 0)
    assert named["patch_embed.proj.weight"] == (0.125, 0.05) and named["pos_embed"] == named["cls_token"] == (
        0.125,
        0,
    )


def test_rate_warms_up_and_falls_by_half_a_cosine():
    rates = [optimiser.rate(at, peak=2.0, low=0.5, warmup=4, epochs=12) for at in (0, 1, 4, 8, 10, 12)]
    assert rates == pytest.approx([0, 0.5, 2, 1.25, 0.5 + 0.75 * (1 + math.cos(0.75 * math.pi)), 0.5])


@pytest.mark.slow
def test_each_network_has_its_presets_betas(tmp_path, monkeypatch):
    given = []
    adamw = optimiser.adamw
    monkeypatch.setattr(optimiser, "adamw", lambda groups, betas: given.append(betas) or adamw(groups, betas))
    run(tmp_path, PRESET.replace(classifier__betas=(0.9, 0.999), mae__epochs=1, classifier__epochs=1))
    assert given == [(0.9, 0.95), (0.9, 0.999)]
