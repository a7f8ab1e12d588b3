"""What is no volume of anatomy though it holds images: passed over by name, which is no failure."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import SHAPE, VALUES, dataset_of, dicom_slice, enhanced, save, write_series
from maescan.errors import PictureError, ScanError
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom import kinds

PLANES = ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1])
SAVED = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
MADE = ["DERIVED", "SECONDARY", "OTHER"]


def only(folder, **read):
    (source,) = find_scans(folder)
    return read_scan(source, **read)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer by its ImageType"),
        ({"SeriesDescription": "AAHead_Scout"}, "is a localizer by its SeriesDescription"),
        ({"SeriesDescription": "Survey", "Modality": "MR"}, "is a localizer by its SeriesDescription"),
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            r"holds 3 numbers per voxel \('RGB'\): a picture",
        ),
    ],
)
def test_a_series_that_is_no_scan_is_passed_over(tmp_path, tags, reason):
    write_series(tmp_path, **tags)
    with pytest.raises(PictureError, match=reason):
        only(tmp_path)


def test_a_survey_of_a_ct_may_be_a_scan_and_a_localizer_may_be_accepted(tmp_path):
    write_series(tmp_path / "ct", SeriesDescription="skeletal survey")
    assert only(tmp_path / "ct").shape == SHAPE[::-1]
    write_series(tmp_path / "mr", SeriesDescription="3-plane Localizer")
    assert only(tmp_path / "mr", accept=["localizer"]).shape == SHAPE[::-1]


@pytest.mark.parametrize("kind", [SAVED, MADE, ["ORIGINAL", "PRIMARY", "OTHER", "CSA REPORT"]])
def test_a_screenshot_kept_as_an_image_of_the_scanner_is_passed_over(tmp_path, kind):
    write_series(tmp_path, VALUES[:1], ImageType=kind, ImagePositionPatient=None)
    with pytest.raises(PictureError, match="is a picture that is nowhere in the patient"):
        only(tmp_path)


def test_images_that_lost_their_places_are_no_pictures(tmp_path):
    write_series(tmp_path, VALUES[:1], ImagePositionPatient=None)
    with pytest.raises(ScanError, match="has no ImagePositionPatient") as error:
        only(tmp_path)
    assert not isinstance(error.value, PictureError)


def test_a_colour_picture_among_slices_is_a_fault_of_these(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, VALUES[:1], depths=[9], first=9, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    with pytest.raises(ScanError, match="holds 3 numbers per voxel") as error:
        only(tmp_path)
    assert not isinstance(error.value, PictureError)


def test_a_localizer_of_three_planes_that_nothing_names_is_one_source(tmp_path):
    for number, plane in enumerate(PLANES):
        write_series(tmp_path, VALUES[:3], first=3 * number, ImageOrientationPatient=plane)
    with pytest.raises(PictureError, match=r"shows 9 views in different directions, no volume \(to score one of"):
        only(tmp_path)
    assert read_scan(tmp_path / "004.dcm").shape[2] == 1, "the remedy"


def test_turning_projections_are_one_source_and_one_alone_is_no_scan(tmp_path):
    kind = ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]
    for number, angle in enumerate(np.deg2rad(range(0, 180, 10))):
        plane = [float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, -1]
        write_series(tmp_path, VALUES[:1], first=number, ImageOrientationPatient=plane, ImageType=kind)
    with pytest.raises(PictureError, match="shows 18 views"):
        only(tmp_path)
    with pytest.raises(PictureError, match="is one projection of slices"):
        read_scan(tmp_path / "004.dcm")


def test_stacks_at_slightly_different_angles_are_scans(tmp_path):
    for number, tilt in enumerate((0, 0.3, 0.6)):
        plane = [1, 0, 0, 0, float(np.cos(tilt)), float(np.sin(tilt))]
        step = (0, -2.5 * float(np.sin(tilt)), 2.5 * float(np.cos(tilt)))
        write_series(tmp_path, step=step, first=10 * number, ImageOrientationPatient=plane)
    assert len(find_scans(tmp_path)) == 3


@pytest.mark.parametrize("tag", ["TriggerTime", "AcquisitionNumber", "TemporalPositionIdentifier"])
def test_one_slice_at_many_times_is_no_volume(tmp_path, tag):
    """As a bolus is watched, or a heart."""
    for number in range(6):
        write_series(tmp_path, VALUES[number : number + 1], first=number, **{tag: 10 * number + 1})
    with pytest.raises(PictureError, match=r"shows one slice 6 times, no volume \(to score one of them, name its"):
        only(tmp_path)
    assert read_scan(tmp_path / "004.dcm").shape[2] == 1


def test_mosaics_at_one_place_are_refused_as_one_is(tmp_path):
    """Each shows all slices of a volume."""
    kind = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    for i in range(4):
        write_series(tmp_path, VALUES[:1], first=i, ImageType=kind, AcquisitionNumber=i, Modality="MR")
    with pytest.raises(ScanError, match=r"is a mosaic of slices in one image \(convert it to NIfTI") as caught:
        only(tmp_path)
    assert not isinstance(caught.value, PictureError)


def test_an_enhanced_image_of_one_slice_at_many_times_is_no_volume(tmp_path):
    enhanced(tmp_path / "a.dcm", order=[0], echoes=range(4))
    with pytest.raises(PictureError, match=r"shows one slice 4 times, no volume \(to score one, --volume"):
        only(tmp_path)
    assert only(tmp_path, volume=2).shape[2] == 1


def test_radiographs_and_photographs_are_results_and_volumes_are_none():
    names = {
        "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography Image",
        "1.2.840.10008.5.1.4.1.1.12.1": "X-Ray Angiographic Image",
        "1.2.840.10008.5.1.4.1.1.6.1": "Ultrasound Image",
        "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image",
        "1.2.840.10008.5.1.4.1.1.2": "",
        "1.2.840.10008.5.1.4.1.1.13.1.1": "",
        "1.2.840.10008.5.1.4.1.1.6.2": "",
    }
    from pydicom.uid import UID

    assert {uid: kinds.result_of(dataset_of(SOPClassUID=UID(uid), Rows=1)) for uid in names} == names


def test_a_radiograph_beside_a_scan_is_passed_over(tmp_path):
    write_series(tmp_path / "ct")
    image = dicom_slice(VALUES[0], (0, 0, 0), SOPClassUID="1.2.840.10008.5.1.4.1.1.1", ImagePositionPatient=None)
    save(image, tmp_path / "cr" / "1")
    assert [source.name for source in find_scans(tmp_path)] == ["ct/3"]
