"""The masked autoencoder against the equations of He et al. (2022)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks_by_hand import SMALL, batch, mae_by_hand, weights
from maescan.config import PRESETS
from maescan.models import Classifier, MaskedAutoencoder


def test_mae_forward_follows_he_et_al(mae):
    patches, noise, inputs = batch(SMALL.tokens, 4, SMALL.patch_pixels)
    with torch.no_grad():
        predictions = mae(*inputs).numpy()
    w = weights(mae)
    w["pos_embed"][:], w["decoder_pos_embed"][:] = np.nan, np.nan  # the equations make their own
    assert np.abs(predictions - mae_by_hand(w, SMALL, patches, noise, 4)).max() < 1e-5


def test_a_subset_of_tokens_is_the_same_set_in_any_order(mae):
    _, _, (visible, _, keep, restore) = batch(6, 2, SMALL.patch_pixels, rows=1)
    ids = torch.tensor([[1, 4, 5, 9, 10, 14]], dtype=torch.int32)
    order = torch.tensor([5, 0, 3, 1, 2, 4])
    place = torch.argsort(order).int()
    with torch.no_grad():
        one = mae(visible, ids, keep, restore)
        other = mae(visible, ids[:, order], place[keep.long()], restore[:, order])
    assert torch.allclose(one[:, order], other, atol=1e-6)


def test_a_subset_differs_by_where_it_stands(mae):
    _, _, (visible, ids, keep, restore) = batch(6, 2, SMALL.patch_pixels, rows=1)
    assert not torch.allclose(mae(visible, ids, keep, restore), mae(visible, ids + 3, keep, restore), atol=1e-3)


def test_loss_is_equation_1(mae):
    patches, predictions = torch.zeros(1, 3, 4), torch.tensor([[[1.0] * 4, [2.0] * 4, [5.0] * 4]])
    restore = torch.tensor([[1, 2, 0]])  # token 2 is the visible one
    assert mae.loss(predictions, patches, restore, 1).item() == pytest.approx((1 + 4) / 2)
    assert mae.loss(predictions, patches, restore, 1, "all").item() == pytest.approx((1 + 4 + 25) / 3)


def test_public_names_and_sizes_of_vit_base():
    with torch.device("meta"):
        mae, classifier = MaskedAutoencoder(PRESETS["brats"].model), Classifier(PRESETS["brats"].model)
    names = {name: tuple(value.shape) for name, value in mae.state_dict().items()}
    assert names["patch_embed.proj.weight"] == (768, 1, 16, 16) and names["pos_embed"] == (1, 197, 768)
    assert names["blocks.11.attn.qkv.bias"] == (2304,) and names["decoder_blocks.7.mlp.fc1.weight"] == (2048, 512)
    assert names["decoder_pred.weight"] == (256, 512) and names["mask_token"] == (1, 1, 512)
    shared = {n for n in names if not n.startswith(("decoder", "mask_token", "norm."))}
    own = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    assert set(classifier.state_dict()) == shared | own
    assert classifier.state_dict()["head.weight"].shape == (2, 768)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MaskedAutoencoder, Classifier])
def test_the_models_trace(kind):
    model = kind(replace(SMALL, encoder_depth=1, decoder_depth=1)).eval()
    _, _, inputs = batch(16, 4, 64)
    inputs = inputs if kind is MaskedAutoencoder else (torch.rand(3, 16, 64), inputs[1])
    traced = torch.export.export(model, inputs).module()
    assert torch.allclose(traced(*inputs), model(*inputs), atol=1e-6)
