from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.scan_files import write_series
from maescan.results.geometry import Geometry, axial_of, tissue_box
from maescan.scans import Scan, axial_view, find_scans, read_scan

AFFINES = {
    "RAS": np.array([[1, 0, 0, -5], [0, 1, 0, -6], [0, 0, 3, -20], [0, 0, 0, 1.0]]),
    "LPI": np.array([[-1, 0, 0, 5], [0, -1, 0, 6], [0, 0, -3, 20], [0, 0, 0, 1.0]]),
    "ASR": np.array([[0, 0, 2, -5], [1, 0, 0, -6], [0, 3, 0, -20], [0, 0, 0, 1.0]]),
    "IRP": np.array([[0, 2, 0, -5], [0, 0, -1, -6], [-3, 0, 0, 9], [0, 0, 0, 1.0]]),
}


@pytest.mark.parametrize("name", AFFINES)
def test_mm_and_voxel_of_a_slice_are_those_of_the_file(name):
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    scan = Scan(voxels, 1.0, 0.0, AFFINES[name], "a", Path("a"), "nifti")
    view, _ = axial_view(scan)
    geometry = Geometry.of(scan)
    assert geometry.slices == len(view)
    for index, one in enumerate(view):
        place = geometry.place(index)
        axis = "ijk".index(place.axis)
        assert sorted(one.ravel()) == sorted(voxels.take(place.voxel, axis=axis).ravel())
        middle = [(n - 1) / 2 for n in voxels.shape]
        middle[axis] = place.voxel
        assert place.mm == pytest.approx((scan.affine @ [*middle, 1])[2], abs=1e-3) and place.instance is None
    assert geometry.place(1).mm > geometry.place(0).mm  # towards the head
    assert np.array_equal(axial_of(voxels, scan.affine), view)


def test_instance_numbers_of_a_series(tmp_path):
    pytest.importorskip("pydicom")
    values = np.random.default_rng(0).integers(0, 99, (5, 8, 8), dtype=np.int16)
    for at, number in enumerate(range(7, 12)):
        write_series(tmp_path, values[at : at + 1], depths=[at], first=number, InstanceNumber=number)
    scan = read_scan(find_scans(tmp_path)[0])
    geometry = Geometry.from_json(json.loads(json.dumps(Geometry.of(scan).to_json())))
    view, _ = axial_view(scan)
    numbers = [geometry.place(index).instance for index in range(5)]
    assert sorted(numbers) == list(range(7, 12))
    for index, number in enumerate(numbers):
        assert sorted(view[index].ravel()) == sorted(values[number - 7].ravel())


def test_it_travels_as_json_and_what_is_missing_is_none():
    geometry = Geometry(3, (1.5, 2.0), (2, -1), "j", ((0.0, 3.0), (1.0, 2.0), (4.0, 9.0)), (None, 4, 5), (2, 2, 0))
    again = Geometry.from_json(json.loads(json.dumps(geometry.to_json())))
    assert again == geometry and again.place(0) == (5.5, "j", 0, 5) and again.place(2).instance is None
    assert Geometry.from_json(None) is None
    assert tissue_box(None, (3, 4, 5)) == ((0, 3), (0, 4), (0, 5)) and tissue_box(geometry, (3, 4, 5)) == geometry.box
