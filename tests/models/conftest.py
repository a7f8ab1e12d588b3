from __future__ import annotations

import pytest
import torch

from helpers.networks_by_hand import SMALL
from maescan.models import MaskedAutoencoder


@pytest.fixture
def mae():
    torch.manual_seed(1)
    model = MaskedAutoencoder(SMALL).eval()
    with torch.no_grad():  # biases and norms away from 0 and 1, so that a forgotten one shows
        for parameter in model.parameters():
            parameter.add_(0.05 * parameter.requires_grad * torch.randn_like(parameter))
    return model
