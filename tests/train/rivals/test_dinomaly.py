"""Dinomaly's attention and its loss."""

import torch
from torch.nn import functional as F

from maescan.train.rivals import Size
from maescan.train.rivals.dinomaly import SLOW, Dinomaly, LinearAttention


def test_attention_without_a_softmax_is_the_mean_that_it_stands_for():
    torch.manual_seed(0)
    attention, x = LinearAttention(32, 1), torch.randn(2, 9, 32)
    query, key, value = attention.three(x).chunk(3, dim=2)
    weights = (F.elu(query) + 1) @ (F.elu(key) + 1).transpose(1, 2)
    expected = attention.out(weights / weights.sum(dim=2, keepdim=True) @ value)
    assert torch.allclose(attention(x), expected, atol=1e-5)


def test_places_that_are_well_drawn_have_little_of_a_say():
    torch.manual_seed(0)
    made, seen = Dinomaly(Size()), torch.randn(2, 8, 10, 10)
    noise = 0.1 * torch.randn_like(seen)
    noise[..., 0] *= 50  # a tenth of the places
    grads = []
    for loose in (True, False):
        drawn = (seen + noise).requires_grad_()
        if loose:
            made._features = lambda _, drawn=drawn: ([seen], [drawn])
            made._loss(seen).backward()
        else:
            (1 - F.cosine_similarity(seen.flatten(1), drawn.flatten(1), dim=1)).mean().backward()
        grads.append(drawn.grad)
    assert torch.allclose(grads[0][..., 2:], SLOW * grads[1][..., 2:], atol=1e-9)
    assert torch.allclose(grads[0][..., :1].norm(), grads[1][..., :1].norm(), rtol=0.1)
