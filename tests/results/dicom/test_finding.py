"""What is told of a scored scan."""

from __future__ import annotations

import numpy as np

from maescan.results.dicom.finding import Finding

NOTHING = {"volume": np.zeros((2, 2, 2), np.float32), "affine": np.eye(4)}


def test_the_highest_slices_are_named_once_each_highest_first():
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.8], np.float32)
    assert Finding(0.9, scores, np.arange(5), **NOTHING).worst() == [1, 3, 4]
    patches = Finding(0.9, scores, np.array([7, 7, 8, 7, 9]), **NOTHING)
    assert patches.worst() == [1, 4, 2]


def test_a_scan_of_fewer_slices_has_fewer():
    assert Finding(0.9, np.array([0.3, 0.4], np.float32), np.arange(2), **NOTHING).worst() == [1, 0]
