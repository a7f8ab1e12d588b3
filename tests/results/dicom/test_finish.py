"""What all objects have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.dicom_results import MAKER, made_of, read, write_oriented
from maescan.results.dicom.finish import uids_of
from maescan.results.dicom.source import decimal


def test_a_report_that_takes_anothers_place_has_another_uid_and_the_rest_does_not():
    later = replace(MAKER, supersedes=("1.2", "1.2.3"))
    assert uids_of("1.9", later, "sr")[0] == uids_of("1.9", MAKER, "sr")[0]
    assert uids_of("1.9", later, "sr")[1] != uids_of("1.9", MAKER, "sr")[1]
    assert uids_of("1.9", later, "seg") == uids_of("1.9", MAKER, "seg")


@pytest.mark.parametrize("value", [1 / 3, -0.123456789012345, 1e-17, 123456.123456789, -0.0])
def test_numbers_have_room_in_a_decimal_string(value):
    from pydicom.valuerep import DSfloat

    assert len(str(DSfloat(decimal(value), auto_format=True))) <= 16
    assert abs(decimal(value) - value) <= 1e-8 * max(1, abs(value))


def test_dates_are_the_scans_and_uids_of_dimensions_the_objects(tmp_path):
    zone = {"TimezoneOffsetFromUTC": "+0900"}
    write_oriented(tmp_path, shape=(3, 36, 40), ContentDate="20200304", ContentTime="050607.89", **zone)
    made = made_of(tmp_path)
    for name in made.files:
        found = read(made, name)
        assert found.TimezoneOffsetFromUTC == "+0900"
        assert (found.InstanceCreationDate, found.InstanceCreationTime) == ("20200304", "050607")
        assert found.SeriesNumber > 9700 and "RESEARCH" in found.SeriesDescription
    dimensions = {
        read(made, name).DimensionOrganizationSequence[0].DimensionOrganizationUID for name in ("pm", "seg")
    }
    assert len(dimensions) == 2 and all(uid.startswith("2.25.") for uid in dimensions)


def test_the_part_of_the_body_is_the_sources_or_the_bundles(tmp_path):
    write_oriented(tmp_path / "a", shape=(3, 36, 40), BodyPartExamined="HEAD")
    write_oriented(tmp_path / "b", shape=(3, 36, 40), BodyPartExamined=None)
    assert read(made_of(tmp_path / "a", ["seg"]), "seg").BodyPartExamined == "HEAD"
    unknown = read(made_of(tmp_path / "b", ["sc"], maker=replace(MAKER, organ="")), "sc1")
    assert "BodyPartExamined" not in unknown and unknown.Laterality == ""  # the standard demands one of them
    assert read(made_of(tmp_path / "b", ["seg"]), "seg").BodyPartExamined == "BRAIN"
