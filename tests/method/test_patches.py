from __future__ import annotations

import numpy as np

from maescan.config import preset
from maescan.datasets.phantom import write_scan
from maescan.method.patches import crop_patches, heights, outside, place_keys, to_place, to_view
from maescan.scans import axial_view, read_scan

LUNA = preset("luna16")


def a_ct(path):
    """Air with one bright voxel, on a grid with flips and unequal spacing."""
    voxels = np.full((90, 100, 6), -1000, np.int16)
    voxels[45, 50, 2] = 2000
    affine = np.diag([-0.7, 0.8, -2.5, 1.0])
    affine[:3, 3] = [12.0, -40.0, 7.0]
    write_scan(path, voxels, affine)
    return read_scan(path), (affine @ [45, 50, 2, 1])[:3]


def test_a_patch_lies_around_its_place_and_beside_the_scan_is_air(tmp_path):
    scan, place = a_ct(tmp_path / "ct.nii.gz")
    view, axes = axial_view(scan)
    centres = to_view(np.stack([place, place + np.array([0.0, 0.0, 2.5])]), scan, axes, view.shape)
    patches = crop_patches(view, axes, centres, scan, LUNA)
    side = LUNA.model.image_size
    assert patches.images.shape == (2, side, side) and patches.images.dtype == np.float32
    assert np.argwhere(patches.images[0] > 0).tolist() == [[side // 2, side // 2]] and patches.images[1].max() <= -10
    corner = crop_patches(view, axes, np.array([[0, 0, 0]]), scan, LUNA).images[0]
    assert (corner[: side // 2] == corner[0, 0]).all() and corner[side // 2, side // 2] == -10 > corner[0, 0]
    assert patches.area[0] == np.float32(1 / side**2)


def test_places_beside_the_scan_are_known(tmp_path):
    scan, place = a_ct(tmp_path / "ct.nii.gz")
    view, axes = axial_view(scan)
    centres = to_view(np.stack([place, place + np.array([0.0, 0.0, 50.0])]), scan, axes, view.shape)
    assert outside(centres, view.shape).tolist() == [False, True]


def test_a_patch_is_the_same_alone_and_among_others(tmp_path):
    scan, _ = a_ct(tmp_path / "ct.nii.gz")
    view, axes = axial_view(scan)
    centres = np.array([[2, 50, 45], [3, 0, 0], [5, 99, 89]])
    together = crop_patches(view, axes, centres, scan, LUNA).images
    for centre, image in zip(centres, together, strict=True):
        assert np.array_equal(crop_patches(view, axes, centre[None], scan, LUNA).images[0], image)


def test_places_and_voxels_are_each_others_inverse_whichever_way_a_scan_is_stored(tmp_path):
    scan, place = a_ct(tmp_path / "ct.nii.gz")
    view, axes = axial_view(scan)
    centres = np.array([[2, 50, 45], [3, 0, 0], [5, 99, 89]])
    places = to_place(centres, scan, axes, view.shape)
    assert np.array_equal(to_view(places, scan, axes, view.shape), centres)
    again = to_place(to_view(place[None], scan, axes, view.shape), scan, axes, view.shape)
    assert np.allclose(again, place, atol=1e-5) and np.array_equal(
        crop_patches(view, axes, centres, scan, LUNA).places, places
    )


def test_keys_are_of_the_place_alone():
    places = np.array([[12.32, -5.0, 1000.0], [12.4, -5.0, 1000.0], [-12.3, -5.0, 1000.0], [12.32, -5.2, 1000.0]])
    keys = place_keys(places)
    assert len(set(keys.tolist())) == 4 and np.array_equal(place_keys(places[::-1]), keys[::-1])
    assert np.array_equal(place_keys(places + 0.01), keys) and keys.dtype == np.uint64
    assert np.allclose(heights(keys), 1000.0) and heights(place_keys(np.array([[1, 2, -87.46]]))) == [-87.5]
