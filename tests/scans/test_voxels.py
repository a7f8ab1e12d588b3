"""Bytes to voxels: kept as they are, or float32, with rounding told and NaN counted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.scans.voxels import CHUNK, Voxels, check_finite, read_exactly

PATH = Path("scan.nii")


def filled(values, order="<"):
    stored = values.astype(values.dtype.newbyteorder(order))
    voxels = Voxels(values.size, stored.dtype)
    assert voxels.fill(io.BytesIO(stored.tobytes()).readinto) == stored.nbytes
    return voxels


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["i2", "u2", "u1", "f4", "i1", "i4", "u4", "f8", "i8", "u8"])
def test_four_types_are_kept_and_the_others_become_float32(kind, order):
    values = np.arange(120, dtype=kind)
    voxels = filled(values, order)
    assert voxels.array.dtype == np.dtype(kind if kind in ("i2", "u2", "u1", "f4") else "f4")
    assert np.array_equal(voxels.array, values) and voxels.warnings((2, 3, 4)) == ()
    assert np.array_equal(Voxels.copy(values).array, values)


def test_rounding_is_told_wherever_it_happens():
    values = np.zeros(CHUNK + 10, np.int32)
    values[-1] = 2**24 + 1
    for voxels in (filled(values), Voxels.copy(values)):
        assert voxels.warnings((1, 1, 1)) == ("int32 voxels were rounded to float32",)


def test_a_number_too_large_for_float32_is_infinite_and_told():
    voxels = filled(np.array([1e300, np.nan]))
    assert np.isinf(voxels.array[0]) and voxels.rounded
    assert not filled(np.array([1.0, np.nan])).rounded, "NaN is not rounded"


@pytest.mark.parametrize("kind", ["i2", "f8"])
def test_a_stream_that_ends_says_how_many_bytes_there_were(kind):
    voxels = Voxels(10, np.dtype(kind))
    assert voxels.fill(io.BytesIO(b"x" * 7).readinto) == 7


def test_a_stream_that_gives_little_at_a_time_is_read_to_its_end():
    stream, wanted = io.BytesIO(bytes(range(50))), np.zeros(50, np.uint8)
    assert read_exactly(lambda view: stream.readinto(view[:7]), wanted) == 50
    assert wanted.tolist() == list(range(50))


def test_what_is_not_finite_is_counted():
    assert check_finite(np.zeros(4, np.int16), PATH) and not check_finite(np.arange(4), PATH)
    with pytest.raises(ScanError, match="3 of 5 voxels are NaN or infinite"):
        check_finite(np.array([0, np.nan, np.inf, -np.inf, 1], np.float32), PATH)


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_that_float32_hardly_has_are_refused(sign):
    """Their scale would be infinite, and their score one of noise."""
    with pytest.raises(ScanError, match="its largest voxel is 1e-42, too small for float32"):
        check_finite(np.array([0, sign * 1e-42], np.float32), PATH)
    assert not check_finite(np.array([0, sign * 1e-30], np.float32), PATH)


def test_what_follows_the_voxels_is_told_from_a_slice_on():
    voxels = Voxels(24, np.dtype("<i2"))
    for rest, slices in ((0, 0), (11, 0), (12, 1), (30, 2)):
        voxels.rest = rest
        told = voxels.warnings((2, 3, 4))
        assert [f"{counted(slices, 'slice')} or more" in text for text in told] == [True] * (slices > 0)
