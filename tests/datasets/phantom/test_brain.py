"""The phantom's brain: what is where, and how bright."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.datasets.phantom import make_phantom

SHAPE = (48, 48, 32)


@pytest.fixture(scope="module")
def healthy():
    return make_phantom("brain", 1, 0, ill=False, shape=SHAPE)


def test_air_is_zero_and_the_brain_is_not(healthy):
    brain = healthy.voxels > 0
    assert 0.1 < brain.mean() < 0.5 and not brain[0].any() and not brain[:, 0].any()
    assert not healthy.mask.any()


def test_noisy_air_changes_nothing_inside():
    plain, noisy = (make_phantom("brain", 1, 0, ill=False, shape=SHAPE, noisy_air=noise) for noise in (False, True))
    brain = plain.voxels > 0
    assert (noisy.voxels > 0).all() and np.array_equal(noisy.voxels[brain], plain.voxels[brain])


def test_the_two_halves_are_alike_and_the_ventricles_dark(healthy):
    voxels = healthy.voxels.astype(float)
    brain = voxels > 0
    left, right = voxels[: SHAPE[0] // 2], voxels[SHAPE[0] // 2 :][::-1]
    assert abs(left[left > 0].mean() / right[right > 0].mean() - 1) < 0.1
    middle = voxels[20:28, 18:30, 16:22]
    assert np.percentile(middle[middle > 0], 10) < 0.75 * np.median(voxels[brain])


def test_a_lesion_changes_its_own_place_and_pushes_its_neighbours_alone(healthy):
    ill = make_phantom("brain", 1, 0, ill=True, shape=SHAPE)
    assert ill.mask.any() and (ill.voxels[ill.mask] > 0).all()
    assert 0.0005 < ill.mask.mean() < 0.1
