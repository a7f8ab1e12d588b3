"""What lies above the healthy threshold, as an object."""

from __future__ import annotations

import numpy as np

from helpers.dicom_results import ball_map, made_of, read, source_of, write_oriented
from maescan.scans import read_scan


def test_it_is_the_map_above_the_threshold_frame_by_frame(tmp_path):
    write_oriented(tmp_path, shape=(5, 21, 23))  # frames that end within a byte
    found = read(made_of(tmp_path, ["seg"]), "seg")
    expected = ball_map(read_scan(source_of(tmp_path))).transpose(2, 1, 0) > 0.25
    assert np.array_equal(found.pixel_array.astype(bool), expected) and expected.any()
    assert "FrameAnatomySequence" not in found.SharedFunctionalGroupsSequence[0]


def test_slices_without_any_are_there_too(tmp_path):
    write_oriented(tmp_path)
    assert read(made_of(tmp_path, ["seg"], threshold=0.9), "seg").NumberOfFrames == 20


def test_scores_of_patches_have_none(tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40))
    made = made_of(tmp_path, ["seg", "pm"], units="score", threshold=None)
    assert list(made.files) == ["pm"] and "CT patches" in made.refused["seg"].reason


def test_a_scan_that_is_not_judged_has_none(tmp_path):
    write_oriented(tmp_path)
    made = made_of(tmp_path, ["seg", "sc"], fit="other", p_value=None, alert=None, threshold=None)
    assert "seg" not in made.files and "of another kind than the bundle judges" in made.refused["seg"].reason
    assert list(made_of(tmp_path, ["seg"], fit="other", alert=True).files) == ["seg"]
