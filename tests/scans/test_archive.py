"""DICOM in .zip files."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile

import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, write_nifti, write_series
from maescan.errors import PictureError, ScanError
from maescan.scans import archive as archives
from maescan.scans import find_scans, read_scan

STORAGE = VALUES.transpose(2, 1, 0)


def names(path):
    return [source.name for source in find_scans(path)]


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


def test_a_member_in_a_files_place_fails_alone_and_no_temporary_path_is_said(tmp_path):
    scan = write_nifti(tmp_path / "a.nii").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.nii", scan)
        archive.writestr("a.nii/b.nii", scan)
    good, bad = sorted(find_scans(tmp_path / "a.zip"), key=lambda source: source.fault is not None)
    assert np.array_equal(read_scan(good).voxels, read_scan(tmp_path / "a.nii").voxels)
    assert bad.name == "a.zip/a.nii/b.nii" and bad.fault is not None
    assert bad.fault.reason == "cannot be unpacked: File exists"


@pytest.mark.parametrize("tags", [
    {"SeriesDescription": "Topogram"}, {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
])  # fmt: skip
def test_what_shows_no_volume_is_passed_over_in_a_zip_too(tmp_path, tags):
    files = write_series(tmp_path / "scan", **tags)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    with pytest.raises(PictureError):
        read_scan(tmp_path / "a.zip")


def test_a_remedy_does_not_ask_to_name_what_lies_in_a_zip(tmp_path):
    times = [f"1000{second:02}" for second in range(6)]
    for i, time in enumerate(times):
        write_series(tmp_path / "s", VALUES[i : i + 1], depths=[0], first=i, AcquisitionTime=time)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "s").iterdir():
            archive.write(file, file.name)
    (plain,), (packed,) = find_scans(tmp_path / "s"), find_scans(tmp_path / "a.zip")
    assert plain.fault.remedy == "to score one of them, name its file"
    assert packed.fault.remedy == "to score one of them, unpack the .zip and name its file"


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("call", ["scratch_folder", "_part", "copyfileobj"])
def test_a_temporary_folder_that_is_full_is_no_damage(tmp_path, monkeypatch, call, at):
    """It said to zip the scan again, or that it was damaged, and took what it had unpacked of a series for all."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in write_series(tmp_path / "s"):
            archive.write(file, file.name)
    real, calls = getattr(archives.shutil if call == "copyfileobj" else archives, call), []

    def refuse(*given):
        calls.append(given)
        if len(calls) >= at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/random")
        return real(*given)

    (source,) = find_scans(tmp_path / "a.zip")
    monkeypatch.setattr(archives.shutil if call == "copyfileobj" else archives, call, refuse)
    if call == "scratch_folder" and at == 2:
        assert np.array_equal(read_scan(source).voxels, STORAGE)
    with pytest.raises(ScanError) as told:
        read_scan(source)
    reason = f"cannot be unpacked: temporary folder {tempfile.gettempdir()}: No space left on device"
    assert str(told.value) == f"{tmp_path / 'a.zip'}: {reason} (set TMPDIR to a folder with more room)"
    assert all(source.fault is None and not source.notes for source in find_scans(tmp_path / "a.zip"))
