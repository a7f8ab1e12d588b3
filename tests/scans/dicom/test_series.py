"""Which images are of one series: what contradicts, what is not said, and what UIDs do not tell."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, write_series
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom.series import alike, series_of


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["AB", "AB"], [[0, 1]]),
        (["AB", "A "], [[0, 1]]),
        (["A ", " B", "AC"], [[0, 2], [1]]),  # the second fits neither of two that are one
        (["A ", "B ", "  "], [[0], [1], [2]]),  # nothing said fits both, so it stays by itself
        (["A ", " B"], [[0, 1]]),
    ],
)
def test_what_is_not_said_contradicts_nothing(names, found):
    assert [places for places, _ in alike([tuple(part.strip() for part in name) for name in names])] == found


def test_names_that_are_alike_say_all_that_each_does():
    assert alike([("A", ""), ("", "B")]) == [([0, 1], ("A", "B"))]


def test_series_that_share_a_uid_say_so():
    patients = [("A", "", "", "", "1"), ("B", "", "", "", "1")]
    notes = [notes for _, _, notes in series_of([("1.2",)] * 2, patients)]
    assert notes == [("its series names 2 patients: this is one of them",)] * 2
    assert [notes for _, _, notes in series_of([("",)] * 2, patients)] == [(), ()]


TWO = [{"PatientID": f"P{k}", "SeriesNumber": k, "StudyInstanceUID": f"{UID}{k}"} for k in (1, 2)]


@pytest.mark.parametrize(
    "tags",
    [
        TWO,
        [{"PatientID": "P1"}, {"PatientID": "P2"}],
        [{"SeriesNumber": 5}, {"SeriesNumber": 9}],
        [{"SeriesDescription": "T1"}, {"SeriesDescription": "T2"}],
        [{"Modality": "CT"}, {"Modality": "MR"}],
        [{"StudyInstanceUID": UID + "1"}, {"StudyInstanceUID": UID + "2"}],
    ],
)
def test_stacked_series_without_uid_in_one_folder_are_two_scans(tmp_path, tags):
    for k, own in enumerate(tags):
        write_series(tmp_path, VALUES + k, depths=range(6 * k, 6 * k + 6), first=6 * k, SeriesInstanceUID=None, **own)
    assert [len(source.files) for source in find_scans(tmp_path)] == [6, 6]


def test_one_uid_for_mr_and_ct_is_two_scans_and_noted(tmp_path):
    write_series(tmp_path, SeriesNumber=5, Modality="MR")
    write_series(tmp_path, depths=range(6, 12), first=6, SeriesNumber=9)
    sources = find_scans(tmp_path)
    assert [source.name.split("/")[-1] for source in sources] == ["5", "9"]
    assert {source.notes for source in sources} == {
        ("its SeriesInstanceUID is shared by 2 series: this is one of them",)
    }


@pytest.mark.parametrize(
    "own",
    [
        lambda k: {"PatientSex": "F"} if k % 2 else {},
        lambda k: {"PatientBirthDate": "19500101"} if k < 3 else {"PatientBirthDate": ""},
        lambda k: {"SeriesNumber": None} if k < 3 else {},
    ],
)
def test_a_tag_that_some_slices_lack_splits_no_series(tmp_path, own):
    for k in range(6):
        write_series(tmp_path, VALUES[k : k + 1], depths=[k], first=k, PatientID="A", **own(k))
    (source,) = find_scans(tmp_path)
    assert np.array_equal(read_scan(source).voxels, VALUES.transpose(2, 1, 0)) and source.notes == ()


def test_a_patient_that_was_renamed_midway_is_noted(tmp_path):
    write_series(tmp_path, VALUES[:3], PatientSex="F")
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=3, PatientSex="M")
    notes = [source.notes for source in find_scans(tmp_path)]
    assert notes == [("its series names 2 patients: this is one of them",)] * 2
