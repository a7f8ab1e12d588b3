"""Iterative masking's masks and its rounds."""

import torch

from maescan.train.rivals import Size
from maescan.train.rivals.common import tissue
from maescan.train.rivals.iterative import IterativeMasking, blobs, fine


def test_fine_detail_is_kept_and_what_is_coarse_is_not():
    plain, grain = torch.ones(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    grain[..., ::2] = -1
    assert fine(plain).abs().max() < 1e-5
    assert (fine(grain) - grain).abs().max() < 0.2


def test_blobs_lie_in_tissue_and_a_quarter_hides_all_of_it(healthy):
    torch.manual_seed(0)
    images = torch.from_numpy(healthy[:, None])
    mask, inside = blobs(images), tissue(images)
    assert torch.equal(mask[::4], inside[::4]) and not (mask > inside).any()
    assert (mask[1] < inside[1]).any() and mask[1].any()


def test_what_is_drawn_as_usual_is_shown_and_the_rest_stays_hidden(healthy):
    made, images = IterativeMasking(Size(width=8)), torch.from_numpy(healthy[:2, None])
    error = torch.zeros_like(images)
    error[..., 14:18, 14:18] = 1
    made._error, made.usual = (lambda _, mask: error * mask), 0.5
    assert torch.equal(made._map(images), error[:, 0])
    made.usual = 2.0
    assert not made._map(images).any()
