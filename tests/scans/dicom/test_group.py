"""Which DICOM files are one scan: two patients never, one series always."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, dicom_slice, save, write_series
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom.group import patient_of
from maescan.scans.find import survey

pytest.importorskip("pydicom")
OTHER = {"PatientID": "B", "StudyInstanceUID": UID + "7", "FrameOfReferenceUID": UID + "8"}
FIRST = {"PatientID": "A", "StudyInstanceUID": UID + "5", "FrameOfReferenceUID": UID + "6"}


def counts(path):
    return [len(source.files) for source in find_scans(path)]


@pytest.mark.parametrize("tag", [*FIRST, "PatientName", "PatientBirthDate"])
@pytest.mark.parametrize("first", [0.5, 6.0, 0.3], ids=["interleaved", "stacked", "uneven"])
def test_two_patients_of_one_series_uid_are_two_scans(tmp_path, tag, first):
    values = {"PatientName": ("A^B", "C^D"), "PatientBirthDate": ("19500101", "19600101")}
    mine, theirs = values.get(tag, (FIRST.get(tag), OTHER.get(tag)))
    write_series(tmp_path / "p1", **{**FIRST, tag: mine})
    write_series(tmp_path / "p2", VALUES + 1, depths=np.arange(6) + first, **{**FIRST, tag: theirs})
    assert counts(tmp_path) == [6, 6]
    assert [read_scan(source).voxels.min() for source in find_scans(tmp_path)] == [0, 1]


def test_two_patients_in_one_folder(tmp_path):
    write_series(tmp_path, **FIRST)
    write_series(tmp_path, VALUES + 1, first=10, **OTHER)
    assert counts(tmp_path) == [6, 6]


def test_one_patient_written_in_two_ways_is_one(tmp_path):
    write_series(tmp_path, VALUES[:3], PatientName="DOE^JANE")
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=3, PatientName="Doe^Jane^")
    assert counts(tmp_path) == [6]


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageType": lambda k: ["ORIGINAL", "PRIMARY"] + ["NORM"] * (k % 2)},
        {"ImageType": lambda k: ["ORIGINAL", "PRIMARY"] + ["SFS"] * (k > 2)},
        {"EchoTime": lambda k: 4.98 + 0.02 * k},
        {"EchoTime": lambda k: 10.0 * k},
        {"AcquisitionNumber": lambda k: k % 2},
        {"TriggerTime": lambda k: 37.5 * k},
    ],
)
def test_what_differs_within_one_stack_does_not_split_it(tmp_path, tags):
    for k in range(6):
        write_series(tmp_path, VALUES[k : k + 1], depths=[k], first=k, **{tag: of(k) for tag, of in tags.items()})
    (source,) = find_scans(tmp_path)
    scan = read_scan(source)
    assert np.array_equal(scan.voxels, VALUES.transpose(2, 1, 0)) and scan.warnings == ()


def test_jittering_echoes_of_two_volumes(tmp_path):
    for k in range(6):
        for number, echo in enumerate((20 + 0.01 * k, 80 - 0.02 * k)):
            values = VALUES[k : k + 1] + np.int16(number)
            write_series(tmp_path, values, depths=[k], first=10 * number + k, EchoTime=echo)
    assert [read_scan(source).voxels.min() for source in find_scans(tmp_path)] == [0, 1]


def test_an_echo_that_was_broken_off_is_noted(tmp_path):
    write_series(tmp_path, EchoTime=20)
    write_series(tmp_path, VALUES[:5], first=6, EchoTime=80)
    first, second = find_scans(tmp_path)
    assert first.notes == () and second.notes == ("holds 5 slices where another volume of its series holds 6",)


def test_a_frame_of_reference_that_changes_is_noted(tmp_path):
    write_series(tmp_path, VALUES[:3], FrameOfReferenceUID=UID + "6")
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=3, FrameOfReferenceUID=UID + "7")
    assert counts(tmp_path) == [3, 3]
    notes = {read_scan(source).warnings for source in find_scans(tmp_path)}
    assert notes == {("its series has 2 frames of reference: this is one of them",)}


def test_a_frame_of_reference_a_slice_is_left_out_of_account(tmp_path):
    for k in range(6):
        write_series(tmp_path, VALUES[k : k + 1], depths=[k], first=k, FrameOfReferenceUID=f"{UID}6.{k}")
    (source,) = find_scans(tmp_path)
    assert read_scan(source).warnings == (
        "each slice has a frame of reference of its own: they were left out of account",
    )


def test_slices_of_another_size_are_noted(tmp_path):
    write_series(tmp_path, VALUES[:5])
    save(dicom_slice(VALUES[5, :3], (10, 20, 42.5)), tmp_path / "last.dcm")
    large, small = find_scans(tmp_path)
    assert read_scan(large).warnings == ("its series also holds slices of 3 x 4",)
    assert "its series also holds slices of 5 x 4" in read_scan(small).warnings


def test_a_series_in_two_folders_is_joined_with_a_note(tmp_path):
    write_series(tmp_path / "a", VALUES[:3])
    write_series(tmp_path / "b", VALUES[3:], depths=range(3, 6))
    (source,) = find_scans(tmp_path)
    assert read_scan(source).warnings == ("joined from 2 folders",) and len(source.files) == 6


@pytest.mark.slow
def test_thousands_of_slices_in_folders_of_their_own(tmp_path):
    for k in range(300):
        write_series(tmp_path / str(k), VALUES[:1], depths=[k])
    assert counts(tmp_path) == [300]


RESULTS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation",
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR",
    "1.2.840.10008.5.1.4.1.1.88.59": "Key Object Selection Document",
    "1.2.840.10008.5.1.4.1.1.11.1": "Grayscale Softcopy Presentation State",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT Dose",
    "1.2.840.10008.5.1.4.1.1.481.3": "RT Structure Set",
    "1.2.840.10008.5.1.4.1.1.104.1": "Encapsulated PDF",
    "1.2.840.10008.5.1.4.1.1.66": "Raw Data",
    "1.2.840.10008.1.3.10": "Media Storage Directory",
}


@pytest.mark.parametrize("uid", RESULTS)
def test_results_are_passed_over_by_their_class_and_named(tmp_path, uid):
    write_series(tmp_path / "s")
    result = dicom_slice(VALUES[0], (10, 20, 30), SOPClassUID=uid, Modality="OT")
    result.file_meta.MediaStorageSOPClassUID = uid
    save(result, tmp_path / "s" / "result.dcm")
    found = survey(tmp_path)
    assert [len(source.files) for source in found.sources] == [6]
    (passed,) = found.passed_over
    assert (passed.name, passed.why) == ("s/result.dcm", "result")
    assert passed.reason == f"is no scan but a DICOM {RESULTS[uid]}"
    assert read_scan(found.sources[0]).warnings == ()


def test_a_result_that_is_named_is_passed_over_too(tmp_path):
    result = dicom_slice(VALUES[0], (10, 20, 30), SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    save(result, tmp_path / "a.dcm")
    found = survey(tmp_path / "a.dcm")
    assert found.sources == [] and found.passed_over[0].why == "result"


def test_slices_that_are_named_one_by_one_are_one_scan(tmp_path):
    assert len(find_scans(write_series(tmp_path / "s"))) == 1


@pytest.mark.parametrize("number", ["redacted", "anonymous patient", "anon_id", "not available", "no id", "xxx", "-"])
def test_a_patient_id_that_says_nothing_is_nobodys(number):
    """Taken for one patient's, all of an archive would count as its first scan alone."""
    assert patient_of(number) == "" and patient_of(f"{number}7") != ""
