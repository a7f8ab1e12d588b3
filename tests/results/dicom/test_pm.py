"""The heat map as an object."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.dicom_results import ball_map, made_of, read, source_of, write_oriented
from maescan.scans import read_scan


def test_frames_ascend_along_the_normal_and_hold_the_map_to_the_bit(tmp_path):
    write_oriented(tmp_path, plane=(1, 0, 0, 0, -1, 0))
    found = read(made_of(tmp_path, ["pm"]), "pm")
    groups = found.PerFrameFunctionalGroupsSequence
    depths = [float(group.PlanePositionSequence[0].ImagePositionPatient[2]) for group in groups]
    assert np.allclose(np.diff(depths), -3.0)  # the normal of this series points down
    assert [group.FrameContentSequence[0].DimensionIndexValues for group in groups] == list(range(1, 21))
    scan = read_scan(source_of(tmp_path))
    assert np.array_equal(found.pixel_array, ball_map(scan).transpose(2, 1, 0))
    assert found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 3


@pytest.mark.parametrize(("units", "width"), [("of intensities 0 to 2", 0.02), ("probability", 1)])
def test_a_window_of_less_than_one_is_exact_and_a_judges_ends_at_certainty(tmp_path, units, width):
    write_oriented(tmp_path, shape=(3, 36, 40))
    shared = read(made_of(tmp_path, ["pm"], threshold=0.01, units=units), "pm").SharedFunctionalGroupsSequence[0]
    window = shared.FrameVOILUTSequence[0]
    assert (window.VOILUTFunction, float(window.WindowWidth)) == ("LINEAR_EXACT", width)
    assert float(window.WindowCenter) == width / 2
    assert shared.FrameAnatomySequence[0].FrameLaterality == "U"


@pytest.mark.parametrize(
    "units, said, code",
    [
        ("probability", "Probability of an anomaly", "1"),
        ("of intensities 0 to 2", "|scan - reconstruction|, of intensities 0 to 2", "1"),
        ("hundreds of HU", "|scan - reconstruction|, hundreds of HU", "10*2.[hnsf'U]"),
    ],
)
def test_it_says_what_its_values_are_and_in_which_unit(units, said, code, tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40))
    found = read(made_of(tmp_path, ["pm"], units=units), "pm")
    (mapping,) = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert found.ContentDescription == said and mapping.RealWorldValueSlope == 1
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == code
