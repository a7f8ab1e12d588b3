"""The phantom's chest, in Hounsfield units."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.datasets.phantom import make_phantom

SHAPE = (84, 84, 16)


@pytest.fixture(scope="module")
def healthy():
    return make_phantom("lung", 2, 0, ill=False, shape=SHAPE)


def test_its_tissues_have_their_units(healthy):
    voxels = healthy.voxels
    assert voxels.dtype == np.int16 and voxels.min() >= -1024 and voxels.max() <= 3071
    corner = voxels[:4, :4].astype(float)
    assert abs(corner.mean() + 1000) < 30  # air beside the patient
    assert 0.05 < ((voxels > -950) & (voxels < -700)).mean() < 0.5  # aerated lung
    assert (voxels > 250).any()  # bone


def test_nodules_lie_in_the_lungs(healthy):
    ill = make_phantom("lung", 2, 0, ill=True, shape=SHAPE)
    assert ill.mask.any() and not healthy.mask.any()
    before = healthy.voxels[ill.mask].astype(float)
    assert np.median(before) < -600
