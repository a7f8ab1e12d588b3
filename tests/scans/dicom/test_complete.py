from __future__ import annotations

from types import SimpleNamespace

import pytest

from helpers.scan_files import VALUES, write_series
from maescan.scans import find_scans
from maescan.scans.dicom.complete import Instance, missing, whole


def series(numbers, declared=0, frames=1, modality="MR"):
    return [Instance("1.2", number, declared, frames, modality) for number in numbers]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        (series(range(1, 25)), ""),
        (series([*range(1, 10), *range(11, 25)]), "1 of the images before number 24 is not there"),
        (series(range(13, 25)), "12 of the images before number 24 are not there"),
        (series(range(1, 13), declared=24), "12 of 24 images are there"),
        (series([1]), "one image of a series alone"),
        (series([1], modality="DX"), ""),
        (series([1], frames=24), ""),
        (series(range(1, 48, 2)), ""),  # one echo of two that are numbered in turn
        (series(range(20_001, 20_025)), ""),  # numbers that do not count from 1
        (series([None] * 24), ""),
        (series([1, 1, 2, 2]), ""),
        ([], ""),
    ],
)
def test_what_lacks_of_a_series(instances, said):
    assert missing(instances) == (f"incomplete: {said}" if said else "")


@pytest.mark.parametrize(
    ("spacing", "apart", "modality", "lacks"),
    [(4, 8, "MR", True), (8, 8, "MR", False), (0, 8, "MR", False), (0, 8, "CT", True)],
)
def test_every_second_image(spacing, apart, modality, lacks):
    """As SpacingBetweenSlices tells: an echo of two that are numbered in turn lies as close as it says."""
    numbers = range(1, 12, 2)
    found = [Instance("1.2", number, 0, 1, modality, spacing, apart * (number // 2)) for number in numbers]
    assert missing(found) == ("incomplete: 5 of the images before number 11 are not there" if lacks else "")


def test_every_second_slice_of_a_series(tmp_path):
    pytest.importorskip("pydicom")
    for k in range(6):
        tags = {"InstanceNumber": 2 * k + 1, "SpacingBetweenSlices": 1.25, "Modality": "MR"}
        write_series(tmp_path, VALUES[k : k + 1], depths=[k], first=k, **tags)
    (source,) = find_scans(tmp_path)
    assert source.incomplete and source.notes == ("incomplete: 5 of the images before number 11 are not there",)


def test_whole_numbers():
    header = SimpleNamespace(a="7", b=4.5, c=["4", "5"], d="x")
    assert [whole(header, tag) for tag in "abcde"] == [7, None, None, None, None]
