from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from helpers.shapes import ball
from maescan.method.foreground import find_foreground, sample

DATA = os.environ.get("MAESCAN_DATA")


@pytest.mark.parametrize(
    "air, low, high", [(0, 100, 900), (-2.75, -2.7, 4), (0, -30, 400), (7, 0, 6), (1000, 20, 900)]
)
def test_masked_air_is_one_value_wherever_it_lies(air, low, high):
    view, inside = ball(air, low, high)
    found = find_foreground(view)
    assert (found.background, found.threshold) == (air, None)
    assert found.values.size == inside.sum() and found.share == pytest.approx(inside.mean())


@pytest.mark.parametrize("level, scale", [(0, 1), (-1000, 1), (0, 0.001)])
def test_noise_in_air_is_told_from_tissue(level, scale):
    view, inside = ball(0, 400, 900, noise=40)
    found = find_foreground(view, scale, level)
    assert found.background is None and found.share == pytest.approx(inside.mean(), rel=0.03)
    assert level + 150 * scale < found.threshold < level + 420 * scale


def test_values_are_measured_ones_where_the_slope_is_negative():
    view, inside = ball(0, 400, 900)
    found = find_foreground(1000 - view, -1.0, 1000.0)
    assert found.background == 1000 and np.allclose(np.sort(found.values), np.sort(view[inside]))


def test_noise_is_parted_where_the_slope_is_negative():
    view, inside = ball(0, 400, 900, noise=40)
    assert find_foreground(1000 - view, -1.0, 1000.0).share == pytest.approx(inside.mean(), rel=0.03)


def test_tissue_without_air_is_all_foreground():
    view = np.random.default_rng(0).normal(500, 50, (8, 30, 30))
    found = find_foreground(view)
    assert (found.background, found.threshold, found.share) == (None, None, 1.0)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "uint16", "int8"])
@pytest.mark.parametrize("slope", [1.0, -0.37])
def test_integers_are_counted_and_give_the_same_to_the_bit(dtype, slope):
    """A histogram stands for the values: percentiles, threshold and background as those of the values themselves."""
    for noise in (0, 12):
        view, _ = ball(0 if noise == 0 else 20, 40, 110, noise=noise)
        view = view.clip(0, 127).astype(dtype)
        counted, sorted_ = find_foreground(view, slope, 3.5), find_foreground(view.astype(np.float64), slope, 3.5)
        assert counted.measured.counts is not None and sorted_.measured.counts is None
        assert (counted.background, counted.threshold) == (sorted_.background, sorted_.threshold)
        shares = (0, 0.5, 1, 17.3, 50, 99, 99.5, 100)
        assert counted.measured.percentiles(*shares) == sorted_.measured.percentiles(*shares)
        np.testing.assert_array_equal(np.sort(counted.values), np.sort(sorted_.values))


def test_a_constant_scan_has_no_foreground():
    found = find_foreground(np.full((4, 20, 20), 3, np.int16))
    assert found.values.size == 0 and found.share == 0


@pytest.mark.parametrize("scale", [1, -1])
def test_values_that_are_all_under_those_of_air_are_air(scale):
    view = np.zeros((8, 30, 30), np.float32)
    view[2:6, 8:22, 8:22] = -np.random.default_rng(0).exponential(1, (4, 14, 14))
    assert find_foreground(view * scale, scale).share == 0 < find_foreground(-view * scale, scale).share


def test_a_sample_keeps_every_slice_and_is_never_empty():
    assert sample(np.zeros((9, 300, 300)), 1000).shape[0] == 9
    assert sample(np.zeros((900, 8, 8)), 10).shape == (900, 1, 1)


@pytest.mark.skipif(not DATA, reason="MAESCAN_DATA is not set")
@pytest.mark.parametrize(
    "name, share, masked",
    [
        ("brats/BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz", 0.189, True),
        ("brats/BraTS20_Training_003/BraTS20_Training_003_flair.nii.gz", 0.121, True),
        ("ms/patient07_T1.nii.gz", 0.156, True),
        ("glioma/BraTS-GLI-00001-000-t1n.nii.gz", 0.184, True),
        ("lung/LIDC-IDRI-0001", 0.324, True),
        ("dicom/mr_mprage_40", 0.57, False),
        ("lung/lung1_image.nrrd", 0.39, False),
    ],
)
def test_real_scans(name, share, masked):
    from maescan.scans import axial_view, read_scan

    scan = read_scan(Path(DATA, name))
    found = find_foreground(axial_view(scan)[0], scan.slope, scan.intercept)
    assert found.share == pytest.approx(share, abs=0.01) and (found.background is not None) == masked
