from __future__ import annotations

import re

import numpy as np
import pytest

from maescan.results.geometry import Geometry
from maescan.results.profile import HEIGHT, TOP, WIDTH, Axis, band_of, height_of, profile_of

SCORES = np.array([0.0, 0.5, 1.0, 0.25], "<f4")


def points(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.e+-]+) (\d+)", path)]


def test_scores_from_below_to_above():
    geometry = Geometry(4, (-10.0, 5.0), (3, -1), "k", ((1.0, 4.0), (0, 1), (0, 1)))
    found = profile_of(SCORES, [2, 0], geometry, Axis(0, 1))
    assert points(found.line) == [
        (0, HEIGHT),
        (WIDTH / 3, height_of(0.5, Axis(0, 1))),
        (2 * WIDTH / 3, TOP),
        (WIDTH, 114),
    ]
    assert [(mark.x, mark.y, mark.at) for mark in found.marks] == [(400, TOP, 2), (0, HEIGHT, 0)]
    assert found.where == "-10 5 k 3 -1" and found.scores == "0.0000 0.5000 1.0000 0.2500"
    assert "-10 mm" in found.first and "5 mm" in found.last
    assert found.band == "translate(200 0) scale(0.6667 1)"  # from slice 1 to slice 3 of 0 to 3


def test_patches_and_single_slices_have_no_band():
    for scores, geometry in ((SCORES, Geometry(9, (0, 1), (0, 1), "k", levels=(1, 1, 2, 3))), (SCORES[:1], None)):
        found = profile_of(scores, [0], geometry, Axis(0, 1))
        assert (found.where, found.band) == ("", "") and found.line.startswith("M0 ")


@pytest.mark.parametrize(("score", "y"), [(0, HEIGHT), (2, TOP), (99, TOP), (-1, HEIGHT)])
def test_what_is_beyond_the_axis_lies_at_its_rim(score, y):
    assert height_of(score, Axis(0, 2)) == y


def test_the_band_spans_the_width():
    found = band_of([[0.1] * 25, [0.5] * 25, [1.0] * 25], Axis(0, 1))
    assert points(found["middle"])[-1] == (WIDTH, height_of(0.5, Axis(0, 1))) and len(points(found["area"])) == 50


def test_scores_under_0_have_an_axis_of_their_own():
    """As SSIM's, which is -1 where a slice is as it should be."""
    axis = Axis.of([-0.9, -0.8, -0.2])
    assert axis == (-0.9, -0.2) and [axis.part(x) for x in (-0.9, -0.2)] == [0, 1]
    assert Axis.of([0.2, 0.4]) == (0, 0.4) and Axis.of([0.0]).top > 0
    heights = [height_of(score, axis) for score in (-0.9, -0.55, -0.2)]
    assert heights == [HEIGHT, (HEIGHT + TOP) // 2, TOP]


def test_a_slice_that_is_missing_is_a_gap():
    geometry = Geometry(4, (-10.0, 5.0), (3, -1), "k", missing=(1,))
    found = profile_of(SCORES, [2], geometry, Axis(0, 1))
    assert found.line.count("M") == 2 and len(points(found.line)) == 3 and found.scores == "0.0000 - 1.0000 0.2500"
