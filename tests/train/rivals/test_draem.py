"""What DRAEM learns from."""

import torch

from maescan.train.rivals.draem import anomalous


def test_every_second_slice_has_a_texture_in_tissue_and_only_there():
    torch.manual_seed(1)
    images = torch.zeros(8, 1, 32, 32)
    images[:, :, 8:24, 8:24] = torch.rand(8, 1, 16, 16) + 1
    altered, where = anomalous(images)
    assert torch.equal(altered[::2], images[::2]) and not where[::2].any()
    assert where[1::2].any() and not where[images == 0].any()
    assert torch.equal(altered[where == 0], images[where == 0])
    assert altered.min() >= images.min() and altered.max() <= images.max()
