"""Affines: what is refused, what is told, what passes in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.geometry import LPS_TO_RAS, check_affine

PATH = Path("scan.nii")


def affine(*rows):
    return np.block([[np.array(rows, np.float64), np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])


def turned(degrees):
    """Slices of 1 mm, turned about the patient's left-right axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return affine((1, 0, 0), (0, cos, -sin), (0, sin, cos))


@pytest.mark.parametrize("good", [np.eye(4), LPS_TO_RAS, affine((0, 0.5, 0), (0, 0, 1.5), (2.5, 0, 0)), turned(19)])
def test_a_scan_of_any_orientation_passes_in_silence(good):
    assert check_affine(good, PATH) == ()


def test_slices_far_off_axial_are_told():
    assert check_affine(turned(30), PATH) == ("oblique: slices are 30 degrees off axial",)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.diag([1, np.nan, 1, 1.0]), "NaN or infinite"),
        (np.diag([1, np.inf, 1, 1.0]), "NaN or infinite"),
        (np.diag([1, 0, 1, 1.0]), "voxels of 1 x 0 x 1 mm are no scan's"),
        (np.diag([0.001, 0.001, 0.001, 1]), "voxels of 0.001 x 0.001 x 0.001 mm"),
        (np.diag([1, 1, 1000, 1.0]), "voxels of 1 x 1 x 1000 mm"),
        (affine((1, 1, 0), (0, 0.01, 0), (0, 0, 1)), "two axes point the same way"),
    ],
)
def test_what_is_no_scans_is_refused(bad, reason):
    with pytest.raises(ScanError, match=reason):
        check_affine(bad, PATH, frozenset({"shear", "tilt"}))


@pytest.mark.parametrize("flag", ["shear", "tilt"])
def test_a_shear_is_refused_unless_it_is_accepted(flag):
    sheared = affine((1, 0, 0), (0, 1, np.tan(np.radians(10))), (0, 0, 1))
    with pytest.raises(ScanError, match=r"sheared by 10\.0 degrees .*--accept shear"):
        check_affine(sheared, PATH)
    assert check_affine(sheared, PATH, frozenset({flag}))[0] == "its axes are sheared by 10.0 degrees"
    assert check_affine(affine((1, 0, 0), (0, 1, 0.005), (0, 0, 1)), PATH) == (), "rounding is no shear"
