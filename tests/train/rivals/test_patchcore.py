"""PatchCore's bank."""

import torch

from maescan.train.rivals.patchcore import core_set


def test_a_core_set_takes_every_group_before_it_takes_one_twice():
    torch.manual_seed(0)
    groups = torch.randn(5, 16) * 50
    features = (groups[:, None] + 0.01 * torch.randn(5, 20, 16)).flatten(0, 1)
    chosen = core_set(features, 5, seed=0)
    assert len({int(torch.cdist(one[None], groups).argmin()) for one in chosen}) == 5
    assert len(core_set(features, 500, seed=0)) == 100
