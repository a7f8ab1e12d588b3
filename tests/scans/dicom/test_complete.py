from __future__ import annotations

import pytest

from maescan.scans.dicom.complete import Instance, missing


def series(numbers, declared=0, frames=1, modality="MR"):
    return [Instance("1.2", number, declared, frames, modality) for number in numbers]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        (series(range(1, 25)), ""),
        (series([*range(1, 10), *range(11, 25)]), "1 of the images before number 24 are not there"),
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
