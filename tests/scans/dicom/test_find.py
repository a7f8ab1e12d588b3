"""Which files are one series, and which are none."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, write_series
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan
from maescan.scans.dicom import find

STORAGE = VALUES.transpose(2, 1, 0)


def names(path):
    return [source.name for source in find_scans(path)]


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
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "is a mosaic"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, r"holds colours of a palette \('PALETTE COLOR'\)"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"3 numbers per voxel \('RGB'\)"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"PixelSpacing": None}, r"no PixelSpacing \(how large it is is not known"),
        ({"PixelSpacing": [0, 0]}, "voxels of 0 x 0"),
        ({"PixelSpacing": [-1.5, 0.5]}, r"has the PixelSpacing -1\.5 x 0\.5, below 0"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "1 bits per voxel"),
        ({"BitsStored": None}, r"has no BitsStored \(it is damaged, or no image\)"),
        ({"SamplesPerPixel": None}, "has no SamplesPerPixel"),
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


def test_images_of_a_series_that_are_nowhere_in_the_patient_are_one_row(tmp_path):
    from pydicom import dcmread

    for file in write_series(tmp_path / "s", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]):
        image = dcmread(file)
        del image.ImagePositionPatient
        image.save_as(file)
    (source,) = find_scans(tmp_path)
    assert (source.name, len(source.files)) == ("s/3", 6)
    with pytest.raises(ScanError, match="has no ImagePositionPatient") as raised:
        read_scan(source)
    assert raised.value.path == source.files[0]


def test_a_series_in_two_folders_that_are_named_is_one_scan(tmp_path):
    write_series(tmp_path / "half" / "A", VALUES[:3])
    write_series(tmp_path / "half" / "B", VALUES[3:], depths=range(3, 6))
    (source,) = find_scans([tmp_path / "half" / "A", tmp_path / "half" / "B"])
    assert (source.name, source.notes) == ("half/3", ("joined from 2 folders",))
    assert np.array_equal(read_scan(source).voxels, STORAGE)


def test_a_series_in_two_folders_named_from_here_and_from_the_root(tmp_path, monkeypatch):
    write_series(tmp_path / "A", VALUES[:3])
    write_series(tmp_path / "B", VALUES[3:], depths=range(3, 6))
    monkeypatch.chdir(tmp_path)
    (source,) = find_scans(["A", tmp_path / "B"])
    assert np.array_equal(read_scan(source).voxels, STORAGE)


@pytest.mark.parametrize("spoil", [False, True])
def test_a_slice_that_is_named_beside_its_folder_is_no_scan_of_its_own(tmp_path, monkeypatch, spoil):
    files = write_series(tmp_path / "A")
    if spoil:
        files[3].write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    found = find_scans(["A", files[3], "A/003.dcm"])
    assert [(source.name, len(source.files)) for source in found] == (
        [("003.dcm", 1), ("A/3", 5)] if spoil else [("A/3", 6)]
    )


def test_damaged_files_beside_many_series_are_looked_at_once(tmp_path, monkeypatch):
    for k in range(30):
        write_series(tmp_path, VALUES[:1], first=k, SeriesInstanceUID=f"{UID}{k}", SeriesNumber=k, Modality="OT")
    for k in range(20):
        (tmp_path / f"{100 + k}.dcm").touch()
    looked = []
    pattern = find._pattern
    monkeypatch.setattr(find, "_pattern", lambda file: looked.append(file) or pattern(file))
    sources = find_scans(tmp_path)
    assert sum(source.incomplete for source in sources) == 30 and len(looked) <= 50
    names = "'100.dcm' is empty, '101.dcm' is empty, '102.dcm' is empty ..."
    told = {source.notes[0] for source in sources if source.notes}
    assert told == {f"incomplete: 20 files beside it cannot be read: {names}"}
