"""The fixed code of a patch's place."""

from __future__ import annotations

import numpy as np

from helpers.networks_by_hand import positions
from maescan.models.positions import sincos_positions


def test_positions_are_the_papers():
    table = sincos_positions(48, 4)[0].double().numpy()
    assert np.all(table[0] == 0)
    assert np.abs(table[1 + 4 * 2 + 3] - positions(48, 2, 3)).max() < 1e-6
