"""Volumes are told apart only where positions clash, by numbers that may jitter."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.scans.dicom.volumes import by_plane, same_places, same_values, split, volumes

PLACES = np.arange(4)


def tags(*columns: object) -> list[np.ndarray]:
    return [np.asarray(column) for column in columns]


def test_no_clash_is_one_volume_whatever_differs():
    assert volumes(PLACES, tags([0, 1, 0, 1], [0, 1, 2, 3])) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (([0] * 4 + [1] * 4,), [[0, 1, 2, 3], [4, 5, 6, 7]]),  # halves
        (([0, 1] * 4, [0] * 4 + [1] * 4), [[0, 1, 2, 3], [4, 5, 6, 7]]),  # the first tag leaves gaps, the second none
        (([0] * 8,), [list(range(8))]),  # nothing tells
        ((range(8),), [list(range(8))]),  # a time a slice tells nothing
    ],
)
def test_two_volumes(columns, found):
    assert volumes(np.tile(PLACES, 2), tags(*columns)) == found


def test_two_tags_together():
    echo, phase = np.repeat([0, 0, 1, 1], 4), np.repeat([0, 1, 0, 1], 4)
    assert [len(volume) for volume in volumes(np.tile(PLACES, 4), tags(echo, phase))] == [4] * 4


def test_a_run_that_was_broken_off():
    assert volumes(np.array([0, 1, 2, 3, 0]), tags([0, 0, 0, 0, 1])) == [[0, 1, 2, 3], [4]]


def test_sixteen_thousand_frames():
    found = volumes(np.tile(np.arange(40), 400), tags(np.zeros(16000), np.repeat(np.arange(400), 40)))
    assert len(found) == 400 and found[399] == list(range(15960, 16000))


def test_places_and_values_that_jitter():
    assert list(same_places([3.0, 0.001, 0, 3.004, 6])) == [1, 0, 0, 1, 2]
    assert list(same_values(["4.6", "4.60001", "9.2"], tolerant=True)) == [0, 0, 1]
    assert list(same_values(["1000", "1005", "0", "5"], tolerant=True)) == [2, 2, 0, 1]
    assert list(same_values(["1", "1.0", "1"])) == [0, 1, 0]
    assert list(same_values(["", "7"], tolerant=True)) == [0, 1]


def test_planes():
    axial, sagittal = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, 1)
    assert by_plane([axial, sagittal, (1, 0.0005, 0, 0, 1, 0), (), axial]) == [[0, 2, 4], [1], [3]]
    turned = [(np.cos(a), np.sin(a), 0, 0, 0, 1) for a in np.linspace(0, 3, 50)]
    assert by_plane(turned) == [[i] for i in range(50)]


def test_split_keeps_the_order():
    assert split("abac") == [[0, 2], [1], [3]]
