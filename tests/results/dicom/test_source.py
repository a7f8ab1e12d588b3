"""What of an image's header results carry, and which series get none."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.dicom_results import BALL, MR, made_of, read, source_of, write_oriented
from helpers.inputs import given
from helpers.marks import slow
from helpers.scan_files import dicom_slice, save, write_series
from maescan.errors import ScanError
from maescan.results.dicom.source import read_series
from maescan.scans import read_scan

PLANTED = {
    **{"PatientAddress": "PLANTED 1", "OtherPatientIDs": "PLANTED2", "InstitutionName": "PLANTED 3"},
    **{"ReferringPhysicianName": "PLANTED^4", "OperatorsName": "PLANTED^5", "PatientComments": "PLANTED 6"},
    **{"StudyDescription": "PLANTED 7", "SeriesDescription": "PLANTED 8", "DeviceSerialNumber": "PLANTED9"},
    **{"StationName": "PLANTED10", "PatientTelephoneNumbers": "PLANTED11", "EthnicGroup": "PLANTED12"},
    **{"ImageComments": "PLANTED 13", "ProtocolName": "PLANTED 14", "PatientMotherBirthName": "PLANTED^15"},
}
NAMES = {
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 101": "Wałęsa",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 126": "Διονυσιος",
    "GB18030": "Wang^XiaoDong=王^小东",
    ("", "ISO 2022 IR 87"): "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ("", "ISO 2022 IR 149"): "Hong^Gildong=洪^吉洞=홍^길동",
    "ISO_IR 192": "Ŝtejno^Ĝi=王",
}


QUICK = ("ISO_IR 100", ("", "ISO 2022 IR 87"), "ISO_IR 192")


@pytest.mark.slow
@pytest.mark.parametrize("charset", [*QUICK, *slow(*(name for name in NAMES if name not in QUICK))], ids=str)
def test_a_name_in_any_character_set_comes_out_equal_in_every_object(charset, tmp_path):
    text = list(charset) if isinstance(charset, tuple) else charset
    write_oriented(tmp_path, shape=(3, 36, 40), SpecificCharacterSet=text, PatientName=NAMES[charset])
    made = made_of(tmp_path)
    assert made.refused == {} and len(made.files) == 7
    for name in made.files:
        found = read(made, name)
        assert str(found.PatientName) == NAMES[charset] and found.SpecificCharacterSet == "ISO_IR 192"


def test_planted_identifiers_are_in_no_object_and_what_an_archive_needs_is_in_all(tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40), **PLANTED)
    made = made_of(tmp_path)
    assert len(made.files) == 7
    needed = {"PatientID": "A1", "AccessionNumber": "7", "StudyDate": "20200102", "PatientBirthDate": "19700101"}
    for name, content in made.files.items():
        assert b"PLANTED" not in content, name
        found = read(made, name)
        assert {tag: str(found[tag].value) for tag in needed} == needed
        assert found.ContentQualification == "RESEARCH"


def test_the_grid_is_that_of_the_reader(tmp_path):
    write_oriented(tmp_path, plane=(0, 1, 0, 0, 0, -1), SpacingBetweenSlices=1.0)
    source = source_of(tmp_path)
    series = read_series(source.files, source.path)
    assert np.allclose(series.affine(), read_scan(source).affine, atol=1e-4)
    assert series.spacing == (2.0, 1.8, 3.0) and series.when == ("20200102", "101112")
    assert series.image_at(0) is None  # axial slices are cut across sagittal images
    assert np.linalg.norm(np.diag([-1, -1, 1]) @ BALL - series.positions(), axis=1).min() < 100


def test_an_axial_slice_is_found_among_the_images_whichever_way_they_are_stacked(tmp_path):
    for name, plane in (("up", (1, 0, 0, 0, 1, 0)), ("down", (1, 0, 0, 0, -1, 0))):
        write_oriented(tmp_path / name, plane)
        source = source_of(tmp_path / name)
        found = read_series(source.files, source.path).image_at(0)
        assert found
        lowest = min(source.files, key=lambda file: float(_header(file).ImagePositionPatient[2]))
        assert (found[0].SOPInstanceUID, found[1]) == (_header(lowest).SOPInstanceUID, None)


def _header(file):
    from pydicom import dcmread

    return dcmread(file, stop_before_pixels=True)


@pytest.mark.parametrize(
    "tags, reason",
    [
        ({"FrameOfReferenceUID": None}, "has no FrameOfReferenceUID"),
        ({"StudyInstanceUID": None}, "has no StudyInstanceUID"),
        (
            {"SOPInstanceUID": "1.2.9.3"},
            "several of its images have one SOPInstanceUID: results could refer to none of them",
        ),
        *(
            ({tag: ["A", "B"]}, f"{tag} holds several values, split by backslashes: results would name nobody")
            for tag in ("PatientName", "PatientID", "AccessionNumber")
        ),
    ],
)
def test_a_series_that_cannot_be_referred_to_gets_no_results(tags, reason, tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40), **tags)
    made = made_of(tmp_path)
    assert made.files == {} and {error.reason for error in made.refused.values()} == {reason}


@pytest.mark.parametrize("off, fine", [((0.8, 0, 0.25), True), ((1.0, 0, 0), False), ((0, 0, 0.4), False)])
def test_an_image_off_the_grid_by_half_a_pixel_or_a_tenth_of_a_slice_refuses_all(off, fine, tmp_path):
    from pydicom import dcmread

    path = write_oriented(tmp_path, shape=(8, 36, 40))[4]
    dataset = dcmread(path)
    moved = np.array([float(x) for x in dataset.ImagePositionPatient]) + off
    dataset.ImagePositionPatient = [float(x) for x in moved]
    dataset.save_as(path)
    given(path)
    source = source_of(tmp_path)
    accept = frozenset({"irregular-spacing"})
    if fine:
        assert read_series(source.files, source.path, accept=accept).planes == 8
        return
    with pytest.raises(ScanError, match=r"004.dcm lies off the grid"):
        read_series(source.files, source.path, accept=accept)


def test_a_tilted_gantry_refuses_all(tmp_path):
    tags = {"SOPClassUID": MR, "Modality": "MR", "FrameOfReferenceUID": "1.2", "StudyInstanceUID": "1.3"}
    write_series(tmp_path, step=(0, 1.0, 2.5), **tags)
    source = source_of(tmp_path)
    with pytest.raises(ScanError, match="off the grid"):
        read_series(source.files, source.path, accept=frozenset({"tilt", "shear"}))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_dates_that_are_none_are_left_out(tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40), PatientBirthDate="unknown", StudyDate=None, StudyTime=None)
    made = made_of(tmp_path, ["sr", "seg", "sc"])
    assert made.refused == {} and read(made, "sr").PatientBirthDate == "" and read(made, "sr").StudyDate == ""
    assert read(made, "sr").ContentDate == "19000101"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    "date, time, kept",
    [
        ("1996.06.11", "10:11:12", ("19960611", "101112")),
        ("19961311", "9", ("", "")),
        ("20200229", "2359", ("20200229", "2359")),
    ],
)
def test_old_ways_to_write_a_date_are_brought_up_to_date(date, time, kept, tmp_path):
    write_oriented(tmp_path, shape=(3, 36, 40), StudyDate=date, StudyTime=time)
    made = made_of(tmp_path, ["sr"])
    assert made.refused == {}
    found = read(made, "sr")
    assert (found.StudyDate, found.StudyTime) == kept
    assert found.ContentDate == (kept[0] or "19000101")


def write_enhanced(folder, volumes=2, slices=6):
    """An enhanced MR image: volumes at the same places, one after the other."""
    from pydicom.dataset import Dataset

    values = np.random.default_rng(0).integers(100, 900, (volumes * slices, 36, 40)).astype(np.uint16)
    tags = {"StudyInstanceUID": "1.2.9.1", "FrameOfReferenceUID": "1.2.9.5", "Modality": "MR", "PatientID": "A1"}
    enhanced = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset = dicom_slice(values, (0, 0, 0), SOPClassUID=enhanced, NumberOfFrames=len(values), **tags)
    dataset.file_meta.MediaStorageSOPClassUID = enhanced
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del dataset[tag]

    def item(**elements):
        made = Dataset()
        for tag, value in elements.items():
            setattr(made, tag, value)
        return [made]

    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=item(PixelSpacing=[1.8, 1.8], SliceThickness=3),
            PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
            PlanePositionSequence=item(ImagePositionPatient=[-30, -20, 3.0 * (number % slices)]),
            FrameContentSequence=item(TemporalPositionIndex=number // slices + 1),
        )[0]
        for number in range(len(values))
    ]
    return save(dataset, folder / "image.dcm")


def test_results_on_an_enhanced_image_refer_to_the_frames_of_the_volume_that_was_scored(tmp_path):
    write_enhanced(tmp_path)
    made = made_of(tmp_path, volume=1)
    assert made.refused == {} and len(made.files) == 7
    found = read(made, "pm").PerFrameFunctionalGroupsSequence
    referred = [group.DerivationImageSequence[0].SourceImageSequence for group in found]
    assert [[int(item.ReferencedFrameNumber) for item in items] for items in referred] == [[n] for n in range(7, 13)]
    highest = read(made, "sr").ContentSequence[-1].ContentSequence[1].ContentSequence
    images = [item for item in highest if item.ValueType == "IMAGE"]
    assert [int(item.ReferencedSOPSequence[0].ReferencedFrameNumber) for item in images] == [12]
