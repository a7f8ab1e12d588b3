"""DICOM in .zip files."""

from __future__ import annotations

import zipfile

import numpy as np

from helpers.scan_files import UID, VALUES, write_series
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
