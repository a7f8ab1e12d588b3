"""The networks as exported answer as the models do, and compute less for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maescan.config import PRESETS, ModelConfig
from maescan.export.lean import LeanMae, Scores
from maescan.export.networks import networks
from maescan.models import Classifier, MaskedAutoencoder

SMALL = ModelConfig(32, 8, 48, 3, 4, 32, 2, 2)


def strange(model):
    """Biases and norms away from 0 and 1, so that a forgotten one shows."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * parameter.requires_grad * torch.randn_like(parameter))
    return model.eval()


def sets(rows, tokens, keep):
    """token_ids, keep_ids, restore_ids: `tokens` of SMALL's patches, `keep` of them visible, others in each row."""
    ids = torch.stack([torch.randperm(SMALL.tokens)[:tokens].sort().values for _ in range(rows)])
    order = torch.stack([torch.randperm(tokens) for _ in range(rows)])
    return ids.int(), order[:, :keep].int(), order.argsort(dim=1).int()


@pytest.mark.parametrize(("tokens", "keep", "blocks"), [(16, 4, 3), (16, 12, 2), (7, 1, 2), (2, 1, 2), (16, 4, 1)])
def test_hidden_tokens_are_predicted_as_by_the_model(tokens, keep, blocks):
    mae = strange(MaskedAutoencoder(replace(SMALL, decoder_depth=blocks)))
    ids, keep_ids, restore_ids = sets(3, tokens, keep)
    visible = torch.rand(3, keep, SMALL.patch_pixels)
    with torch.inference_mode():
        expected = mae(visible, ids, keep_ids, restore_ids)
        found = LeanMae(mae)(visible, ids, keep_ids, restore_ids)
        assert torch.equal(mae(visible, ids, keep_ids, restore_ids), expected)
    hidden = restore_ids >= keep
    assert found.shape == expected.shape and (found[~hidden] == 0).all()
    assert (found - expected)[hidden].abs().max() < 1e-5


@pytest.mark.parametrize("tokens", [16, 5, 1])
def test_the_classifier_scores_as_before(tokens):
    classifier = strange(Classifier(SMALL))
    torch.nn.init.normal_(classifier.head.weight, std=0.1)
    torch.nn.init.zeros_(classifier.head.bias)
    ids, *_ = sets(4, tokens, 1)
    patches = torch.rand(4, tokens, SMALL.patch_pixels)
    with torch.inference_mode():
        expected = classifier.score(patches, ids)
        assert expected.std() > 0.01
        assert (Scores(classifier)(patches, ids) - expected).abs().max() < 1e-6


def test_where_every_prediction_is_read_the_whole_model_is_exported():
    for preset, lean in [
        (PRESETS["tiny"], True),
        (PRESETS["tiny"].replace(masks__paste=False), False),
        (PRESETS["tiny"].replace(model__decoder_depth=1), True),
    ]:
        ((_, module, _),) = networks(MaskedAutoencoder(preset.model), None, preset)
        assert isinstance(module, LeanMae) == lean
