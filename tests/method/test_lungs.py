from __future__ import annotations

from types import SimpleNamespace

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
    found, notes = lungs.lungs(view, scan, spacing)
    assert not notes
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


def a_chest(*, slope=1.0, intercept=0.0):
    """(view, scan) of a body in air with two lungs of 216 ml each, in mm."""
    view = np.full((60, 100, 200), -1000, np.int16)
    view[:, 10:90, 10:190] = 40
    view[:, 20:80, 30:90] = view[:, 20:80, 110:170] = -850
    return view, SimpleNamespace(slope=slope, intercept=intercept, path="ct")


def test_a_lung_that_the_field_of_view_cuts_is_said():
    view, scan = a_chest()
    both, notes = lungs.lungs(view, scan, (1, 1, 1))
    assert both[:, 20:80, 30:90].all() and both[:, 20:80, 110:170].all() and not notes
    one, notes = lungs.lungs(view[:, :, :150], scan, (1, 1, 1))
    assert one[:, 20:80, 30:90].all() and not one[:, :, 100:].any()
    assert notes == ("144 ml of air reach a side of the slices: lung that is cut off there is not tiled",)
    with pytest.raises(ScanError, match="no lungs were found: 432 ml of air reach a side of the slices"):
        lungs.lungs(view[:, 20:80], scan, (1, 1, 1))  # a body's width of it, without the air before and behind


def test_lungs_are_not_open_through_a_slice_that_is_missing():
    view, scan = a_chest()
    view[30:32] = -1024
    found, notes = lungs.lungs(view, scan, (1, 1, 1))
    assert (
        found[:30, 20:80, 30:90].all() and found[32:, 20:80, 110:170].all() and not found[30:32].any() and not notes
    )


def test_lungs_that_are_open_through_a_mouth_are_found_where_it_is_cut_off():
    view, scan = a_chest()
    view[40:50, 40:50, 80:120] = view[40:60, 45:55, 95:105] = view[55:, :55, 95:105] = -1000
    with pytest.raises(ScanError, match="most air that is enclosed has 0 ml") as error:
        lungs.lungs(view, scan, (1, 1, 1))
    assert "cut off below an open mouth" in error.value.remedy
    assert lungs.lungs(view[:54], scan, (1, 1, 1))[0][:, 20:80, 30:90].all()


def test_where_there_are_none_it_is_said_why():
    view, scan = a_chest()
    with pytest.raises(ScanError, match="no lungs were found: the most air that is enclosed has 72 ml"):
        lungs.lungs(view[:20], scan, (1, 1, 1))
    raw, slopes = (view + 1024).astype(np.uint16), a_chest(intercept=-1024.0)[1]
    assert np.array_equal(lungs.lungs(raw, slopes, (1, 1, 1))[0], lungs.lungs(view, scan, (1, 1, 1))[0])
    with pytest.raises(ScanError, match="no lungs were found: its values are 24 to 1064, and air is -1000") as error:
        lungs.lungs(raw, scan, (1, 1, 1))
    assert "rescale" in error.value.remedy and "--candidates" not in error.value.remedy
