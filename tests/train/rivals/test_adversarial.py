"""AnoVAEGAN and f-AnoGAN."""

import torch

from maescan.train.rivals import Size
from maescan.train.rivals.adversarial import FAnoGan

SIZE = Size(width=8, steps=8, batch=8)


def test_the_encoder_learns_while_the_generator_stays(healthy):
    made = FAnoGan(SIZE)
    made.fit(healthy)
    assert not any(weight.requires_grad for weight in made.draw.parameters())
    assert all(weight.requires_grad for weight in made.encode.parameters())


def test_the_critics_slope_is_held_at_one(healthy):
    made = FAnoGan(SIZE)
    made.fit(healthy)
    images = torch.from_numpy(healthy[:8, None])
    for weight in made.rate.parameters():
        weight.data.zero_()
    assert made._steepness(images, images).item() == 1.0  # a flat critic: (0 - 1)^2
