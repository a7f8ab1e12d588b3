"""DRAEM's anomalies."""

import torch

from maescan.train.rivals.common import tissue
from maescan.train.rivals.draem import anomalous


def test_every_second_slice_is_altered_where_it_says_and_in_tissue_alone(healthy):
    torch.manual_seed(0)
    images = torch.from_numpy(healthy[:, None])
    altered, where = anomalous(images)
    assert not where[::2].any() and torch.equal(altered[where == 0], images[where == 0])
    assert 0.02 < where[1::2].mean() < 0.4 and not (where * (1 - tissue(images))).any()
    changed = (altered - images)[where > 0]
    assert (changed > 0.1).any() and (changed < -0.1).any()
