"""DICOM series: grouping, order and spacing from positions, faults by name."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, write_series
from maescan.errors import ConfigError, ScanError
from maescan.scans import axial_view, find_scans, read_scan

pytest.importorskip("pydicom")
STORAGE = VALUES.transpose(2, 1, 0)


def names(path):
    return [source.name for source in find_scans(path)]


def test_slices_are_sorted_by_position_and_spaced_by_it(tmp_path):
    write_series(tmp_path, VALUES[::-1], depths=range(5, -1, -1), InstanceNumber=1)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.voxels, STORAGE)
    assert scan.spacing == (0.5, 1.5, 2.5)
    assert np.allclose(scan.affine @ [1, 1, 1, 1], [-10.5, -21.5, 32.5, 1])


def test_slice_0_is_inferior_and_column_0_right(tmp_path):
    write_series(tmp_path)
    view, _ = axial_view(read_scan(tmp_path))
    assert np.array_equal(view, VALUES)


def test_files_without_extension_in_nested_folders(tmp_path):
    for i, file in enumerate(write_series(tmp_path)):
        (tmp_path / f"a{i % 2}").mkdir(exist_ok=True)
        file.rename(tmp_path / f"a{i % 2}" / f"IM{i}")
    assert np.array_equal(read_scan(tmp_path).voxels, STORAGE)


def test_two_copies_of_a_series_are_two_scans(tmp_path):
    write_series(tmp_path / "a")
    write_series(tmp_path / "b")
    assert names(tmp_path) == ["a/3", "b/3"]


def test_two_series_in_one_folder_are_two_scans(tmp_path):
    write_series(tmp_path / "s")
    write_series(tmp_path / "s", VALUES + 1, first=10, SeriesInstanceUID=UID + "2", SeriesNumber=4)
    assert names(tmp_path) == ["s/3", "s/4"]
    assert [read_scan(s).voxels.min() for s in find_scans(tmp_path)] == [0, 1]
    with pytest.raises(ScanError, match=r"holds 2 scans: s/3, s/4 \(name one of them\)"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    "tag",
    [
        {"EchoTime": 30.0},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P"]},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]},
        {"AcquisitionNumber": 2},
        {"TemporalPositionIdentifier": 2},
        {"TriggerTime": 100.0},
    ],
)
def test_echoes_phases_and_orientations_of_a_series_are_split(tmp_path, tag):
    before = {name: 1 for name in tag if name in ("AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime")}
    write_series(tmp_path / "s", **before)
    write_series(tmp_path / "s", VALUES + 1, first=10, **tag)
    assert names(tmp_path) == ["s/3", "s/3-2"]


def test_an_acquisition_number_a_slice_does_not_split(tmp_path):
    for i in range(6):
        write_series(tmp_path, VALUES[i : i + 1], depths=[i], first=i, AcquisitionNumber=i)
    assert len(find_scans(tmp_path)) == 1


@pytest.mark.parametrize(
    ("fault", "depths", "reason"),
    [
        ("missing-slices", (0, 1, 3, 4, 7, 8), "lacks 3 of 9 slices"),
        ("duplicate-slices", (0, 1, 1, 2, 3, 4), r"has 1 duplicate slices, at the positions of others: 00\d.dcm"),
        ("irregular-spacing", (0, 1, 2, 3, 4.4, 5.4), r"has slices 2\.5 to 3\.5 mm apart"),
    ],
)
def test_faults_of_spacing_are_named_and_accepted_by_name(tmp_path, fault, depths, reason):
    write_series(tmp_path, depths=depths)
    with pytest.raises(ScanError, match=f"{reason}.*or accept '{fault}'"):
        read_scan(tmp_path)
    scan = read_scan(tmp_path, accept=[fault])
    assert re.search(reason, scan.warnings[0])


def test_a_missing_slice_leaves_an_empty_one_in_its_place(tmp_path):
    write_series(tmp_path, VALUES + 7, depths=(0, 1, 3, 4, 5, 6))
    scan = read_scan(tmp_path, accept={"missing-slices"})
    assert scan.shape == (4, 5, 7) and scan.spacing[2] == 2.5
    assert (scan.voxels[..., 2] == -1024).all() and scan.voxels[0, 0, 3] == VALUES[2, 0, 0] + 7


def test_gantry_tilt_is_named_and_accepted_by_name(tmp_path):
    write_series(tmp_path, step=(0, 0.5, 2.5))
    with pytest.raises(ScanError, match=r"gantry tilt of 11\.3 degrees .* or accept 'tilt'"):
        read_scan(tmp_path)
    scan = read_scan(tmp_path, accept={"tilt"})
    assert np.allclose(scan.affine[:3, 2], [0, -0.5, 2.5])


def test_a_name_that_cannot_be_accepted(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot accept 'tlit' \(use duplicate-slices"):
        read_scan(tmp_path, accept={"tlit"})


def test_a_single_slice_says_so(tmp_path):
    write_series(tmp_path, VALUES[:1])
    scan = read_scan(tmp_path)
    assert scan.shape == (4, 5, 1) and scan.spacing[2] == 3
    alone, thickness = scan.warnings
    assert alone == "incomplete: one image of a series alone"
    assert thickness == "is a single slice: 3 mm of thickness are its header's word"


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "is a mosaic"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"3 numbers a voxel \(RGB\)"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"PixelSpacing": [0, 0]}, "voxels of 0 x 0"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "1 bits a voxel"),
        ({"Rows": 30000, "Columns": 30000}, "truncated: its header declares 1800000000 bytes"),
        ({"NumberOfFrames": 2000000000}, "dimensions|declares"),
    ],
)
def test_refused_by_name(tmp_path, tags, reason):
    write_series(tmp_path, VALUES[:1], **tags)
    with pytest.raises(ScanError, match=reason):
        read_scan(tmp_path)


def test_what_is_no_scan_is_passed_over(tmp_path):
    write_series(tmp_path / "s")
    write_series(tmp_path, VALUES[:1], Modality="SEG")
    (tmp_path / "notes").write_text("not a scan" * 99)
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    assert names(tmp_path) == ["s/3"]


def test_a_damaged_file_is_listed_and_fails_alone(tmp_path):
    write_series(tmp_path / "s")
    (tmp_path / "s" / "bad.dcm").write_bytes(b"not DICOM" * 99)
    assert names(tmp_path) == ["s/3", "s/bad.dcm"]
    with pytest.raises(ScanError, match=r"bad\.dcm: is not a DICOM file"):
        read_scan(find_scans(tmp_path)[1])
    assert np.array_equal(read_scan(find_scans(tmp_path)[0]).voxels, STORAGE)


def test_slices_of_other_spacing_are_refused(tmp_path):
    write_series(tmp_path, VALUES[:3])
    write_series(tmp_path, VALUES[3:], depths=range(3, 6), first=3, PixelSpacing=[2, 2])
    with pytest.raises(ScanError, match=r"00\d\.dcm differs from the others"):
        read_scan(tmp_path)


def test_a_zip_of_a_series(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in write_series(tmp_path / "s"):
            archive.write(file, f"export/{file.name}")
    scan = read_scan(tmp_path / "a.zip")
    assert np.array_equal(scan.voxels, STORAGE)
    assert (scan.name, scan.path) == ("a.zip", tmp_path / "a.zip")


def test_a_zip_of_two_series(tmp_path):
    write_series(tmp_path / "s" / "one")
    write_series(tmp_path / "s" / "two", SeriesInstanceUID=UID + "2")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "s").rglob("*.dcm"):
            archive.write(file, file.relative_to(tmp_path / "s"))
    assert names(tmp_path / "a.zip") == ["a.zip/one/3", "a.zip/two/3"]
    assert [read_scan(source).shape for source in find_scans(tmp_path / "a.zip")] == [(4, 5, 6)] * 2
