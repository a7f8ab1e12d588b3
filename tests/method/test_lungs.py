from __future__ import annotations

import numpy as np
import pytest

from maescan.datasets.phantom import make_phantom, write_scan
from maescan.errors import ScanError
from maescan.method import lungs
from maescan.scans import axial_view, read_scan


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    made = make_phantom("lung", 0, 0, ill=False, shape=(160, 128, 24))
    path = tmp_path_factory.mktemp("ct") / "1.2.3.nii.gz"
    write_scan(path, made.voxels, made.affine)
    return path


def test_lungs_are_found_and_the_air_around_is_not(chest):
    scan = read_scan(chest)
    view, axes = axial_view(scan)
    spacing = [scan.spacing[axis] for axis in axes.order]
    found = lungs.lungs(view, scan, spacing)
    assert 500 < found.sum() * np.prod(spacing) / 1000 < 8000
    hounsfield = view * scan.slope + scan.intercept
    assert np.median(hounsfield[found]) < -600 and not found[:, 0].any()
    assert not found[:, :, [0, -1]].any()


def test_tiles_cover_the_lungs_and_overlap_by_half():
    mask = np.zeros((3, 100, 120), bool)
    mask[1, 10:90, 20:100] = True
    corners = lungs.tiles(mask, 32)
    assert set(corners[:, 0]) == {1} and set(np.diff(np.unique(corners[:, 1]))) == {16}
    covered = np.zeros(mask.shape[1:], int)
    for _, top, left in corners:
        covered[max(top, 0) : top + 32, max(left, 0) : left + 32] += 1
    assert (covered[mask[1]] >= 1).all() and covered[50, 60] == 4


def test_where_there_are_none_it_is_said(chest):
    with pytest.raises(ScanError, match="no lungs"):
        lungs.lungs(np.zeros((4, 32, 32), np.int16), read_scan(chest), [1, 1, 1])
