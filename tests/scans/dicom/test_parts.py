"""An enhanced image that was cut into several files is one scan."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import UID, enhanced, save
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom.parts import Part, lacking, part_of


@pytest.mark.parametrize(
    ("numbers", "total", "said"),
    [
        ((1, 2), 2, ""),
        ((2, 1), 0, ""),
        ((1,), 2, "part 1 of 2"),
        ((2,), 0, "part 2 of 2"),
        ((1, 2, 3, 4), 5, "part 1, 2, 3 ... of 5"),
    ],
)
def test_what_lacks_of_a_concatenation(numbers, total, said):
    found = lacking([Part("1.2", number, total) for number in numbers])
    assert found == (f"incomplete: {said} of a concatenation" if said else "")


def test_an_image_that_is_whole_is_no_part():
    assert part_of(object()) is None


def cut(folder, parts, **tags):
    """The enhanced image of 6 frames, in files of 3."""
    from pydicom import dcmread

    for number in parts:
        path = enhanced(folder / f"{3 - number}.dcm", order=range(3 * number - 3, 3 * number))
        dataset = dcmread(path)
        dataset.InstanceNumber = number
        for tag, value in tags.items():
            setattr(dataset, tag, value(number) if callable(value) else value)
        save(dataset, path)


PART = {
    "ConcatenationUID": UID + "77",
    "InConcatenationNumber": lambda number: number,
    "InConcatenationTotalNumber": 2,
    "ConcatenationFrameOffsetNumber": lambda number: 3 * number - 3,
}


def test_a_concatenation_is_one_scan(tmp_path):
    cut(tmp_path / "in", (2, 1), **PART)
    (source,) = find_scans(tmp_path / "in")
    found, wanted = read_scan(source), read_scan(enhanced(tmp_path / "whole.dcm"))
    assert np.array_equal(found.voxels, wanted.voxels) and np.allclose(found.affine, wanted.affine)
    assert found.meta["instances"] == [1, 2, 3, 4, 5, 6] and source.notes == () and not source.incomplete


def test_a_part_alone_is_incomplete(tmp_path):
    cut(tmp_path, (1,), **PART)
    (source,) = find_scans(tmp_path)
    assert source.incomplete and source.notes == ("incomplete: part 1 of 2 of a concatenation",)


def test_slabs_of_one_series_say_so(tmp_path):
    cut(tmp_path, (1, 2))
    assert [source.notes for source in find_scans(tmp_path)] == [("is one of 2 enhanced images of its series",)] * 2


def test_copies_of_an_enhanced_image_are_no_slabs(tmp_path):
    for folder in "ab":
        cut(tmp_path / folder, (1,))
    assert [source.notes for source in find_scans(tmp_path)] == [(), ()]
