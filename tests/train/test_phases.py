"""The two phases: masks and negatives of every epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.tiny_training import PRESET, differences, log, run, slices
from maescan.models import MaskedAutoencoder
from maescan.train.augment import coarse_noise
from maescan.train.phases import MaePhase


def test_every_epoch_has_masks_of_its_own():
    phase = MaePhase(MaskedAutoencoder(PRESET.model), slices(8).images, PRESET, seed=0)
    phase.model.forward = lambda visible, ids, keep, restore: (
        kept.append(keep) or torch.zeros(8, ids.shape[1], PRESET.model.patch_pixels)
    )
    kept = []
    for epoch in (0, 0, 1):
        phase.loss(phase.model, phase.batch(np.arange(8), epoch), np.arange(8), epoch)
    assert torch.equal(kept[0], kept[1]) and not torch.equal(kept[0], kept[2])


@pytest.mark.slow
def test_fresh_negatives_differ_each_epoch(tmp_path, unbroken):
    folder = run(tmp_path, PRESET.replace(classifier__fresh_negatives=True))
    assert differences(unbroken, folder)["mae"] == 0 and differences(unbroken, folder)["classifier"] > 0
    assert log(folder)[2]["loss"] == log(unbroken)[2]["loss"] and log(folder)[3]["loss"] != log(unbroken)[3]["loss"]


def test_noise_is_on_what_the_encoder_sees_and_not_on_what_is_predicted():
    """Kascenas et al.'s denoising: the same target, another input, on tissue alone, the same twice."""
    data = torch.from_numpy(slices(4).images)
    noisy = coarse_noise(data, np.arange(4), replace(PRESET.mae, noise=0.5, noise_cells=4), seed=1, epoch=0)
    again = coarse_noise(data[2:], np.arange(2, 4), replace(PRESET.mae, noise=0.5, noise_cells=4), seed=1, epoch=0)
    assert torch.equal(noisy[2:], again)
    air = data == 0
    assert torch.equal(noisy[air], data[air]) and not torch.allclose(noisy[~air], data[~air])
    deviation = (noisy - data)[~air].std() / data[~air].std()
    assert 0.1 < deviation < 0.6

    seen = []
    phase = MaePhase(
        MaskedAutoencoder(PRESET.model), data.numpy(), PRESET.replace(mae__noise=0.5, mae__crop_scale=1.0), 1
    )
    plain = MaePhase(phase.model, data.numpy(), PRESET.replace(mae__crop_scale=1.0), 1)

    def forward(visible, *ids):
        seen.append(visible)
        return torch.zeros(len(visible), ids[0].shape[1], visible.shape[2])

    losses = [of.loss(forward, of.batch(np.arange(4), 0), np.arange(4), 0) for of in (phase, plain)]
    assert losses[0] == losses[1]  # of predictions of zero: the target is the same
    assert not torch.allclose(seen[0], seen[1])
