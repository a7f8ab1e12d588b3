"""Axial views: every storage order and direction shows the same patient the same way up."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from maescan.scans import Scan, axial_view
from maescan.scans.scan import missing_slices, obliquity

SHAPE = (4, 5, 6)
RAS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
AXIAL = RAS[::-1, ::-1].transpose(2, 1, 0)  # [S, A to P, R to L]
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def stored(order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...] = (1.0, 1.5, 4.0)) -> Scan:
    """RAS voxels with the storage axes permuted and reversed, and the affine that says so."""
    affine = np.diag([*spacing, 1.0])
    voxels = RAS[tuple(slice(None, None, s) for s in signs)]
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
            affine[:3, axis] *= -1
    return Scan(voxels.transpose(order), 1.0, 0.0, affine[:, [*order, 3]], "s", Path("s"), "nifti")


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_axial_view_is_the_same_for_all_48_orientations(order, signs):
    scan = stored(order, signs)
    view, axes = axial_view(scan)
    assert np.array_equal(view, AXIAL)
    assert np.shares_memory(view, scan.voxels)
    assert np.array_equal(axes.to_storage(view), scan.voxels)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_mark_on_an_axial_slice_lands_on_the_same_point_of_the_patient(order, signs):
    scan = stored(order, signs)
    view, axes = axial_view(scan)
    marked = np.zeros(view.shape, bool)
    marked[5, 1, 3] = True  # most superior, second from the front, leftmost of the patient
    index = np.argwhere(axes.to_storage(marked))[0]
    assert np.allclose(scan.affine @ [*index, 1], [0, 3 * 1.5, 5 * 4.0, 1])


def test_slice_0_is_inferior_row_0_anterior_column_0_right():
    view, _ = axial_view(stored((0, 1, 2), (1, 1, 1)))
    assert view[0, 0, 0] == RAS[-1, -1, 0]


@pytest.mark.parametrize("degrees", [0, 10, 30, 44])
def test_an_oblique_scan_is_cut_along_its_axis_nearest_to_superior(degrees):
    scan = stored((2, 0, 1), (1, -1, 1))
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned = Scan(scan.voxels, 1.0, 0.0, turn @ scan.affine, "s", Path("s"), "nifti")
    assert np.array_equal(axial_view(turned)[0], AXIAL)
    assert obliquity(turned.affine) == pytest.approx(degrees, abs=1e-6)


def test_spacing_and_orientation_follow_the_storage_order():
    scan = stored((2, 0, 1), (1, -1, -1))
    assert scan.spacing == (4.0, 1.0, 1.5)
    assert scan.orientation == "IRP"


@pytest.mark.parametrize(("order", "signs", "missing"), [
    ((0, 1, 2), (1, 1, 1), (1, 2)), ((0, 1, 2), (1, 1, -1), (3, 4)), ((0, 2, 1), (1, 1, 1), ()),
])  # fmt: skip
def test_missing_slices_are_counted_from_below_and_are_none_of_another_plane(order, signs, missing):
    scan = stored(order, signs)
    assert missing_slices(replace(scan, meta={"missing": [1, 2]})) == missing and missing_slices(scan) == ()
