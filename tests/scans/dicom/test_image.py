"""Voxels: rescaling, padding, frames of an enhanced image."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, dataset_of, dicom_slice, enhanced, save, write_series
from maescan.errors import ScanError
from maescan.scans import read_scan

STORAGE = VALUES.transpose(2, 1, 0)


def test_rescaling_is_kept_not_applied(tmp_path):
    write_series(tmp_path, RescaleSlope=2, RescaleIntercept=-1000)
    scan = read_scan(tmp_path)
    assert (scan.voxels.dtype, scan.slope, scan.intercept) == (np.int16, 2, -1000)


def test_slopes_that_differ_are_applied(tmp_path):
    write_series(tmp_path, VALUES[:3], RescaleSlope=2, RescaleIntercept=5)
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=10)
    scan = read_scan(tmp_path)
    assert (scan.voxels.dtype, scan.slope, scan.intercept) == (np.float32, 1, 0)
    assert np.array_equal(scan.voxels[..., :3], STORAGE[..., :3] * 2 + 5)
    assert np.array_equal(scan.voxels[..., 3:], STORAGE[..., 3:])


@pytest.mark.parametrize(("modality", "filled"), [("CT", -24), ("MR", 3)])
@pytest.mark.parametrize("declared", [-2000, 65536 - 2000])
def test_padding_becomes_air_or_the_lowest_value(tmp_path, modality, filled, declared):
    values = VALUES + 3
    values[:, 0, 0] = -2000
    values[0, 0, 1] = 3
    tags = {"RescaleIntercept": -1000, "Modality": modality}
    for i, file in enumerate(write_series(tmp_path, values, **tags)):
        dataset = dicom_slice(values[i], (10, 20, 30 + 2.5 * i), **tags)
        dataset.add_new("PixelPaddingValue", "SS" if declared < 0 else "US", declared)
        save(dataset, file)
    scan = read_scan(tmp_path)
    assert (scan.voxels[0, 0] == filled).all()
    assert (
        scan.warnings[0] == f"6 padding voxels were set to {'-1024 HU' if modality == 'CT' else 'the lowest value'}"
    )


def test_a_range_of_padding(tmp_path):
    tags = {"Modality": "MR", "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 9}
    write_series(tmp_path, **tags)
    assert read_scan(tmp_path).voxels.min() == 10


def test_ct_values_below_all_air_are_padding(tmp_path):
    values = VALUES.copy()
    values[2, 3, 1] = -3000
    write_series(tmp_path, values)
    assert read_scan(tmp_path).voxels[1, 3, 2] == -1024


def test_nothing_but_padding(tmp_path):
    write_series(tmp_path, VALUES - 3000)
    with pytest.raises(ScanError, match="nothing but padding"):
        read_scan(tmp_path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_type(tmp_path, dtype):
    write_series(tmp_path, VALUES.astype(dtype))
    voxels = read_scan(tmp_path).voxels
    assert voxels.dtype == np.dtype(dtype if dtype in ("u1", "u2", "i2") else "f4")
    assert np.array_equal(voxels, STORAGE)


@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_the_least_value_of_monochrome1_is_the_brightest(tmp_path, dtype):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    write_series(tmp_path / "mr", VALUES.astype(dtype), Modality="MR", **tags)
    write_series(tmp_path / "ct", VALUES.astype(dtype), SeriesInstanceUID=UID + "2", **tags)
    assert np.array_equal(read_scan(tmp_path / "mr").voxels, (4095 if dtype == "u2" else -1) - STORAGE)
    assert np.array_equal(read_scan(tmp_path / "ct").voxels, STORAGE)  # Hounsfield units are what they are


def test_enhanced_multi_frame(tmp_path):
    scan = read_scan(enhanced(tmp_path / "e.dcm", order=(3, 1, 0, 5, 2, 4)))
    assert np.array_equal(scan.voxels, STORAGE)
    assert (scan.spacing, scan.slope, scan.intercept) == ((0.5, 1.5, 2.5), 2, -1)


def test_a_volume_of_an_enhanced_image_with_two_echoes(tmp_path):
    path = enhanced(tmp_path / "e.dcm", echoes=(10, 20))
    with pytest.raises(ScanError, match="holds 2 volumes"):
        read_scan(path)
    assert np.array_equal(read_scan(path, volume=1).voxels, STORAGE + 20)


def test_no_patient_is_named_in_the_provenance(tmp_path):
    write_series(tmp_path, PatientName="Doe^Jane", PatientID="4711", SeriesDescription="chest")
    meta = read_scan(tmp_path).meta
    assert meta["SeriesDescription"] == "chest" and "Doe" not in str(meta) and "4711" not in str(meta)


def test_padding_becomes_the_lowest_value_of_a_slope_under_0(tmp_path):
    """There the highest stored value is the lowest measured one."""
    values = VALUES + 3
    values[:, 0, 0] = -2000
    tags = {"Modality": "MR", "RescaleSlope": -1, "RescaleIntercept": 1000, "PixelPaddingValue": -2000}
    write_series(tmp_path, values, **tags)
    scan = read_scan(tmp_path)
    measured = scan.voxels * scan.slope + scan.intercept
    assert (measured[0, 0] == 1000 - values.max()).all() and measured.min() == 1000 - values.max()


@pytest.mark.parametrize("kind", [["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], ["ORIGINAL", "PRIMARY", "M"]])
def test_what_is_derived_from_other_images_is_noted(tmp_path, kind):
    write_series(tmp_path / "s", ImageType=kind)
    scan = read_scan(tmp_path / "s")
    assert scan.meta["ImageType"] == "\\".join(kind)
    assert any("derived from others" in note for note in scan.warnings) == (kind[0] == "DERIVED")


def test_frames_of_an_enhanced_image_say_what_they_are_themselves(tmp_path):
    path = enhanced(tmp_path / "a.dcm")
    dataset = pytest.importorskip("pydicom").dcmread(path)
    dataset.ImageType = ["DERIVED", "PRIMARY", "MIXED", "NONE"]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.MRImageFrameTypeSequence = [dataset_of(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])]
    dataset.save_as(path)
    scan = read_scan(path)
    assert scan.meta["ImageType"] == "ORIGINAL\\PRIMARY\\VOLUME\\NONE"
    assert not any("derived" in note for note in scan.warnings)


def changed(path, change):
    """An enhanced CT whose header was changed."""
    from pydicom import dcmread

    dataset = dcmread(enhanced(path))
    dataset.Modality = "CT"
    del dataset.RescaleSlope, dataset.RescaleIntercept
    change(dataset)
    return save(dataset, path)


def test_an_enhanced_ct_that_says_slope_1_and_intercept_0_says_what_its_values_are(tmp_path):
    def identity(dataset):
        (values,) = dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        values.RescaleSlope, values.RescaleIntercept = 1, 0

    def nothing(dataset):
        del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence

    scans = [read_scan(changed(tmp_path / "a.dcm", change)) for change in (identity, nothing)]
    assert ["rescaled: taken as Hounsfield" in str(scan.warnings) for scan in scans] == [False, True]
    assert [scan.meta["unscaled"] for scan in scans] == [False, True]


def test_of_an_enhanced_image_the_frame_that_differs_is_named(tmp_path):
    def wider(dataset):
        third = dataset.PerFrameFunctionalGroupsSequence[2]
        third.PixelMeasuresSequence = [dataset_of(PixelSpacing=[2, 2])]

    with pytest.raises(ScanError, match=r"a\.dcm: frame 3 differs from frame 1 in size, spacing or orientation"):
        read_scan(changed(tmp_path / "a.dcm", wider))
