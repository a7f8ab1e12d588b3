from __future__ import annotations

from pathlib import Path

import pytest

from maescan.errors import ScanError
from maescan.machine import memory
from maescan.options import ReadOptions
from maescan.scans.budget import Limits, check_memory, check_slices, listening, touching

PATH = Path("scan.nii")


def test_the_default_is_a_quarter_of_the_machine():
    assert Limits.of(ReadOptions()) == Limits(seconds=600.0, memory=None) and Limits().bytes == memory() // 4
    assert Limits.of(ReadOptions(limit_s=5, limit_memory_gb=2)) == Limits(seconds=5, memory=2_000_000_000)


def test_slices_count_with_what_scoring_makes_of_them():
    check_memory(Limits().bytes, "voxels", PATH)
    with pytest.raises(ScanError, match=r"scan\.nii: 10000000 slices of 224 x 224 pixels take 6021\.1 GB of memory"):
        check_slices(10_000_000, 224, 0, PATH)


def test_a_file_inside_another_counts_as_that_one():
    seen = []
    with listening(seen.append):
        for name in ("a", "b.zip"):
            with touching(Path(name)), touching(Path("inside")):
                pass
    with touching(Path("nobody listens")):
        pass
    assert seen == [Path("a"), Path("b.zip")]
