"""Masks of a configuration, and the ones that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.config import MaskConfig
from maescan.errors import ConfigError
from maescan.method.masks import make_masks


def test_masks_are_of_the_configuration_unless_said_otherwise():
    keep, restore = make_masks(MaskConfig(seed=3), np.arange(2), 16)
    assert keep.shape == (8, 4) and restore.shape == (8, 16)
    assert np.array_equal(make_masks(MaskConfig(), np.arange(2), 16, seed=3)[0], keep)
    assert make_masks(MaskConfig(), np.arange(2), 16, passes=2)[0].shape == (4, 4)


@pytest.mark.parametrize("ratio", [0.99, 0.0])
def test_a_ratio_that_leaves_nothing_to_do_is_refused(ratio):
    with pytest.raises(ConfigError, match="tokens visible"):
        make_masks(MaskConfig(ratio=ratio), np.arange(1), 16)
