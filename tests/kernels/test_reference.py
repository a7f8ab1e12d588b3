"""The numpy twins by themselves: against loops, scikit-image, and what they must do to the letter of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.kernels import reference, resample_taps

RNG = np.random.default_rng(0)
SLICES = RNG.random((2, 8, 12), np.float32)


def test_patches_are_blocks_in_rows():
    patches = reference.patchify(SLICES, patch=4)
    assert patches.shape == (2, 6, 16)
    for cell in range(6):
        row, column = 4 * (cell // 3), 4 * (cell % 3)
        assert np.array_equal(patches[1, cell], SLICES[1, row : row + 4, column : column + 4].ravel())
    chosen = np.array([[5, 0], [2, 2]], np.int32)
    assert np.array_equal(reference.patchify(SLICES, chosen, patch=4)[1, 0], patches[1, 2])


def test_masks_are_permutations_of_which_few_are_kept():
    keep, restore = reference.make_masks(np.arange(3), seed=5, passes=2, tokens=9, keep=4)
    assert keep.shape == (6, 4) and restore.shape == (6, 9)
    for kept, places in zip(keep, restore, strict=True):
        assert sorted(places) == list(range(9)) and np.array_equal(places[kept], np.arange(4))
    again = reference.make_masks(np.array([2]), seed=5, passes=2, tokens=9, keep=4)[0]
    assert np.array_equal(again, keep[4:]), "a slice's masks are its own"


def test_the_second_of_complementary_masks_hides_what_the_first_shows():
    keep, _ = reference.make_masks(np.arange(3), seed=5, passes=2, tokens=8, keep=4, strategy="complementary")
    assert all(sorted([*keep[2 * i], *keep[2 * i + 1]]) == list(range(8)) for i in range(3))


def test_the_difference_is_the_mean_reconstruction_with_the_seen_pasted_in():
    keep, restore = reference.make_masks(np.arange(2), seed=1, passes=3, tokens=6, keep=2)
    predictions = RNG.random((6, 6, 16), np.float32)
    found = reference.average_difference(
        SLICES, predictions, restore, keep=2, patch=4, reconstruction=True, errors=True
    )
    patches = reference.patchify(SLICES, patch=4)
    for number in range(2):
        passes = predictions[3 * number : 3 * number + 3].astype(np.float64).copy()
        for place, kept in zip(passes, keep[3 * number :], strict=False):
            place[kept] = patches[number][kept]
        mean = passes.mean(axis=0)
        assert np.allclose(reference.patchify(found.reconstruction, patch=4)[number], mean, atol=1e-6)
        gap = np.abs(mean - patches[number])
        assert np.allclose(reference.patchify(found.difference[:, 0], patch=4)[number], gap, atol=1e-6)
        assert found.mae[number] == pytest.approx(gap.mean()) and found.mse[number] == pytest.approx((gap**2).mean())
    assert found.squared is None and found.tokens is None


def test_boxes_scale_what_they_hold_and_nothing_else():
    boxes = np.array([[[1, 2, 3, 4]], [[0, 0, 8, 12]]], np.int32)
    made = reference.pseudo_abnormal(SLICES, boxes, np.full((2, 1), 2, np.float32))
    changed = made != SLICES
    assert changed[0].sum() <= 12 and changed[0].any() and changed[1].all()
    assert np.allclose(made[changed], 2 * SLICES[changed])


def test_ssim_of_a_slice_with_itself_is_one_everywhere():
    assert np.allclose(reference.ssim(SLICES, SLICES), 1)
    assert np.all(reference.ssim(SLICES, SLICES[::-1].copy()) < 1)


def test_extraction_at_the_same_size_is_a_linear_map_within_its_bounds():
    volume = RNG.integers(-100, 100, (2, 8, 12), np.int16)
    rows, columns = resample_taps(8, 8), resample_taps(12, 12)
    values = {"scale": 0.5, "offset": 1.0, "background": None, "low": -9.0, "high": 9.0}
    found = reference.extract_slices(volume, rows, columns, **values)
    assert np.allclose(found, np.clip((volume * np.float32(0.5) + 1), -9, 9))
