from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from maescan.evaluate.detection import Detections, froc

SIDE = 40


def scene(boxes, shape=(SIDE, SIDE)):
    """A heat map, and a mask of the boxes (row, column, side, heat, lesion?)."""
    heat, mask = np.full(shape, 0.01, np.float32), np.zeros(shape, bool)
    for row, column, side, value, lesion in boxes:
        heat[row : row + side, column : column + side] = value
        mask[row : row + side, column : column + side] |= lesion
    return heat, mask


def gathered(scenes):
    heat, mask = (np.stack(part) for part in zip(*(scene(boxes) for boxes in scenes), strict=True))
    images = np.ones_like(heat)
    images[:, 0] = 0
    found = Detections(3)
    found.add(0, images[:2], heat[:2], mask[:2])
    found.add(2, images[2:], heat[2:], mask[2:])
    return found


def test_lesions_hang_together_over_slices_and_a_plateau_is_one_peak():
    found = gathered(
        [
            [(5, 5, 6, 0.9, True), (30, 30, 2, 0.3, True)],
            [(7, 7, 6, 0.2, True)],
            [(10, 10, 5, 0.5, False), (30, 30, 3, 0.4, False)],
        ]
    )
    assert sorted(value for _, value in found.peaks if value > 0.1) == [np.float32(0.4), np.float32(0.5)]
    made = froc(found, [1, 1, 0], ["ill", "ill", "well"], [3, 4, 0])
    assert (made["lesions"], made["scans"], made["healthy_scans"]) == (2, 1, True)
    assert made["count_by_size"] == [1, 1, 0, 0, 0]  # 4 voxels; 36 + 36
    at = {row["false_alerts"]: row for row in made["rows"]}
    assert at[0.5]["sensitivity"] == 0.5 and at[0.5]["by_size"][:2] == [0.0, 1.0]  # none over 0.5
    assert at[2.0]["sensitivity"] == 1.0


@pytest.mark.parametrize("seed", range(8))
def test_lesions_are_as_many_as_scipy_counts_with_26_neighbours(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(8, 24, 24)), 1.2) > 0.13
    found, images = Detections(2), np.ones((8, 24, 24), np.float32)
    for marked, first in ((mask, 0), (np.zeros_like(mask), 8)):
        found.add(first, images, rng.random(mask.shape).astype(np.float32), marked)
    labels = [*mask.any(axis=(1, 2)), *[False] * 8]
    made = froc(found, labels, ["ill"] * 8 + ["well"] * 8, [*range(8), *range(8)])
    assert made["lesions"] == ndimage.label(mask, np.ones((3, 3, 3)))[1]


def test_slices_that_do_not_follow_each_other_hold_lesions_of_their_own():
    found = gathered([[(5, 5, 6, 0.9, True)], [(5, 5, 6, 0.2, True)], []])
    assert froc(found, [1, 1, 0], ["a", "a", "a"], [3, 5, 6])["lesions"] == 2
    made = froc(found, [1, 1, 0], ["a", "b", "b"], [3, 4, 6])
    assert made["lesions"] == 2 and not made["healthy_scans"] and made["scans"] == 1


def test_there_is_no_curve_without_lesions_or_without_normal_slices():
    assert froc(gathered([[], [], []]), [0, 0, 0], ["a"] * 3, [1, 2, 3]) is None
    assert froc(gathered([[(5, 5, 6, 0.9, True)]] * 3), [1, 1, 1], ["a"] * 3, [1, 2, 3]) is None


@pytest.mark.parametrize("slices", [3, 4, 9, 30])
def test_a_lesion_is_one_however_many_slices_it_has(slices):
    found = gathered([*[[(5, 5, 4, 0.9 if at == slices - 1 else 0.2, True)] for at in range(slices)], []])
    made = froc(found, [1] * slices + [0], ["ill"] * slices + ["well"], [*range(slices), 0])
    assert made["lesions"] == 1
    assert made["rows"][0]["sensitivity"] == 1.0


def test_what_glows_beyond_the_rim_takes_no_peak_from_tissue():
    heat, mask = np.zeros((1, SIDE, SIDE), np.float32), np.zeros((1, SIDE, SIDE), bool)
    images = np.ones_like(heat)
    images[:, :10] = 0
    heat[0, 8, 20], heat[0, 10, 20] = 1.0, 0.9
    found = Detections(3)
    found.add(0, images, heat, mask)
    assert max(value for _, value in found.peaks) == np.float32(0.9)
