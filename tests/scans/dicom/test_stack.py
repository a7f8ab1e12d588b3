"""Slices of a series by their places: order, spacing, gaps, tilt."""

from __future__ import annotations

import re

import numpy as np
import pytest

from helpers.scan_files import VALUES, write_series
from maescan.errors import ConfigError, ScanError
from maescan.scans import axial_view, read_scan

STORAGE = VALUES.transpose(2, 1, 0)


def test_slices_are_sorted_by_position_and_spaced_by_it(tmp_path):
    write_series(tmp_path, VALUES[::-1], depths=range(5, -1, -1), InstanceNumber=1)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.voxels, STORAGE)
    assert scan.spacing == (0.5, 1.5, 2.5)
    assert np.allclose(scan.affine @ [1, 1, 1, 1], [-10.5, -21.5, 32.5, 1])


def test_slice_0_is_inferior_and_column_0_right(tmp_path):
    write_series(tmp_path)
    view, _ = axial_view(read_scan(tmp_path))
    assert np.array_equal(view, VALUES)


@pytest.mark.parametrize(
    ("fault", "depths", "reason"),
    [
        ("missing-slices", (0, 1, 3, 4, 7, 8), "lacks 3 of 9 slices"),
        ("duplicate-slices", (0, 1, 1, 2, 3, 4), r"has 1 duplicate slice, at the positions of others: '00\d.dcm'"),
        (
            "irregular-spacing",
            (0, 1, 2, 3, 4.4, 5.4),
            r"has slices 2\.5 to 3\.5 mm apart, up to 0\.6 mm off their even places",
        ),
    ],
)
def test_faults_of_spacing_are_named_and_accepted_by_name(tmp_path, fault, depths, reason):
    write_series(tmp_path, depths=depths)
    with pytest.raises(ScanError, match=f"{reason}.*or --accept {fault}"):
        read_scan(tmp_path)
    scan = read_scan(tmp_path, accept=[fault])
    assert re.search(reason, scan.warnings[0]) and scan.meta["accepted"] == [fault]


def test_a_missing_slice_leaves_an_empty_one_in_its_place(tmp_path):
    write_series(tmp_path, VALUES + 7, depths=(0, 1, 3, 4, 5, 6))
    scan = read_scan(tmp_path, accept={"missing-slices"})
    assert scan.shape == (4, 5, 7) and scan.spacing[2] == 2.5
    assert (scan.voxels[..., 2] == -1024).all() and scan.voxels[0, 0, 3] == VALUES[2, 0, 0] + 7


def test_gantry_tilt_is_named_and_accepted_by_name(tmp_path):
    write_series(tmp_path, step=(0, 0.5, 2.5))
    with pytest.raises(ScanError, match=r"gantry tilt of 11\.3 degrees .* or --accept tilt"):
        read_scan(tmp_path)
    scan = read_scan(tmp_path, accept={"tilt"})
    assert np.allclose(scan.affine[:3, 2], [0, -0.5, 2.5])


def test_a_name_that_cannot_be_accepted(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot accept 'tlit' \(use duplicate-slices"):
        read_scan(tmp_path, accept={"tlit"})


def test_a_single_slice_says_so(tmp_path):
    write_series(tmp_path, VALUES[:1])
    scan = read_scan(tmp_path)
    assert scan.shape == (4, 5, 1) and scan.spacing[2] == 3
    alone, thickness = scan.warnings
    assert alone == "incomplete: one image of a series alone"
    assert thickness == "is a single slice: 3 mm of thickness are its header's word"


def test_slices_of_other_spacing_are_refused(tmp_path):
    write_series(tmp_path, VALUES[:3])
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=3, PixelSpacing=[2, 2])
    with pytest.raises(ScanError, match=r"'00\d\.dcm' differs from the others"):
        read_scan(tmp_path)


WIDER = [*range(14), *range(15, 35, 2)]


@pytest.mark.parametrize(
    ("depths", "numbers", "fault"),
    [
        (WIDER, range(1, 25), "irregular-spacing"),
        (WIDER, range(24, 0, -1), "irregular-spacing"),
        (WIDER, [None] * 24, "irregular-spacing"),
        (WIDER, [depth + 1 for depth in WIDER], "missing-slices"),
        ((0, 1, 3, 4, 5, 7, 8), range(1, 8), "irregular-spacing"),
        ((0, 1, 3, 4, 5, 7, 8), (1, 2, 4, 5, 6, 8, 9), "missing-slices"),
        ((0, 1, 3, 4, 5, 7, 8), [None] * 7, "missing-slices"),
    ],
)
def test_slices_further_apart_are_not_missing_ones(tmp_path, depths, numbers, fault):
    for k, (depth, number) in enumerate(zip(depths, numbers, strict=True)):
        write_series(tmp_path, VALUES[:1], depths=[depth], first=k, InstanceNumber=number)
    with pytest.raises(ScanError, match=f"or --accept {fault}"):
        read_scan(tmp_path)


@pytest.mark.parametrize("odd", [b"4.5 ", b"4\\5 ", b"four"])
def test_a_number_that_is_none_costs_no_series(tmp_path, odd):
    for k in range(6):
        write_series(tmp_path, VALUES[k : k + 1], depths=[k], first=k, InstanceNumber=1000 + k)
    file = tmp_path / "003.dcm"
    file.write_bytes(file.read_bytes().replace(b"1003", odd))
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.voxels, STORAGE) and scan.meta["instances"] == [1000, 1001, 1002, None, 1004, 1005]
