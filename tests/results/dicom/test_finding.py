"""What is told of a scored scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maescan.results.dicom.finding import Earlier, Finding, Maker

NOTHING = {"volume": np.zeros((2, 2, 2), np.float32), "affine": np.eye(4), "units": "probability"}


def test_the_highest_slices_are_named_once_each_highest_first():
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.8], np.float32)
    assert Finding(0.9, scores, np.arange(5), **NOTHING).highest() == [1, 3, 4]
    patches = Finding(0.9, scores, np.array([7, 7, 8, 7, 9]), **NOTHING)
    assert patches.highest() == [1, 4, 2]


def test_a_scan_of_fewer_slices_has_fewer():
    assert Finding(0.9, np.array([0.3, 0.4], np.float32), np.arange(2), **NOTHING).highest() == [1, 0]


def test_a_slice_is_told_in_mm_where_images_lie_in_another_plane_too():
    sagittal = np.array([[0, 0, 4.0, 0], [2, 0, 0, 0], [0, -2.5, 0, 50.0], [0, 0, 0, 1]])  # rows go down
    more = {**NOTHING, "volume": np.zeros((3, 9, 5), np.float32), "affine": sagittal}
    finding = Finding(0.9, np.zeros(9, np.float32), np.arange(9), **more)
    assert [finding.where(0), finding.where(8)] == ["axial slice 0 at +30.0 mm", "axial slice 8 at +50.0 mm"]


def test_a_new_report_takes_the_place_of_one_that_said_something_else_and_not_of_itself():
    maker = Maker("k", "b", "brats", "engine", "1")
    key = maker.settled("images").key
    first, second = ("1.2", "1.2.3"), ("1.2", "1.2.4")
    assert maker.settled("images").supersedes is None and maker.settled("others").key != key
    again = replace(maker, earlier=Earlier(key, second, first))
    assert again.settled("images").supersedes == first and again.settled("others").supersedes == second
