"""The path of scoring, taken in training."""

from __future__ import annotations

import numpy as np
import torch

from helpers.tiny_training import PRESET, slices
from maescan.models import MaskedAutoencoder
from maescan.train import steps


def test_reconstruct_keeps_what_every_mask_shows():
    model, images = MaskedAutoencoder(PRESET.model).eval(), slices(2).images
    hidden = PRESET.replace(masks__ratio=0.5, masks__passes=1)
    made = steps.reconstruct(model, images, [0, 1], hidden)
    same = steps.patchify(torch.from_numpy(made.reconstruction == images), 4).all(dim=2)
    assert (same.sum(dim=1) >= 8).all() and not same.all()
    assert np.allclose(made.difference[:, 0], np.abs(images - made.reconstruction), atol=1e-6)


def test_a_slice_is_reconstructed_alike_in_any_batch():
    model, images = MaskedAutoencoder(PRESET.model).eval(), slices(6).images
    together = steps.reconstruct(model, images, np.arange(6), PRESET).reconstruction
    alone = steps.reconstruct(model, images[4:5], [4], PRESET).reconstruction
    assert np.allclose(together[4], alone[0], atol=1e-6)
