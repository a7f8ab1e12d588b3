"""The networks as exporters want them: a lean MAE that is told what is hidden says what one that finds out says."""

from __future__ import annotations

import torch

from helpers.bundles import SMALL
from maescan.export.networks import is_lean, networks
from maescan.models import MaskedAutoencoder


def test_predictions_of_hidden_tokens_alone_are_those_of_all():
    torch.manual_seed(0)
    mae = MaskedAutoencoder(SMALL.model).eval()
    ((_, lean, example),), ((_, hidden, other),) = (networks(mae, None, SMALL, hidden=told) for told in (False, True))
    restore = torch.stack([torch.randperm(16), torch.randperm(16)]).int()
    shuffle = restore.argsort(dim=1).int()
    given = example["visible"], example["token_ids"], shuffle[:, :4]
    with torch.inference_mode():
        every, few = lean(*given, restore), hidden(*given, shuffle[:, 4:])
    assert few.shape == (2, 12, 64) and every.abs().max() > 0.01
    assert torch.equal(few, torch.gather(every, 1, shuffle[:, 4:, None].long().expand(-1, -1, 64)))
    assert list(other) == ["visible", "token_ids", "keep_ids", "hidden_ids"] != list(example)
    assert other["hidden_ids"].shape == (2, 12)


def test_what_is_not_lean_takes_restore_ids():
    preset = SMALL.replace(masks__paste=False)
    ((_, _, example),) = networks(MaskedAutoencoder(preset.model), None, preset, hidden=True)
    assert not is_lean(preset) and list(example)[-1] == "restore_ids"
