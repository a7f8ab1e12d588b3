"""`read_scan`: every format by what it is, the notes of the search kept, any library's complaint in one line."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from helpers.scan_files import VALUES, write_nifti, write_series
from maescan.errors import ConfigError, ScanError
from maescan.scans import ScanSource, find_scans, read_scan


def test_a_path_that_holds_one_scan_is_enough(tmp_path):
    write_nifti(tmp_path / "one" / "a.nii.gz")
    assert np.array_equal(read_scan(tmp_path).voxels, read_scan(str(tmp_path / "one" / "a.nii.gz")).voxels)


def test_none_or_several_are_named(tmp_path):
    with pytest.raises(ScanError, match="holds no scan that can be read"):
        read_scan(tmp_path)
    for number in range(6):
        write_nifti(tmp_path / f"{number}.nii")
    with pytest.raises(ScanError, match=r"holds 6 scans: 0\.nii, .*4\.nii \.\.\. \(name one of them\)"):
        read_scan(tmp_path)


def test_what_nobody_accepts_is_a_mistake(tmp_path):
    path = write_nifti(tmp_path / "a.nii")
    assert read_scan(path, accept=("shear",)).name == "a.nii"
    with pytest.raises(ConfigError, match="cannot accept 'anything, everything'"):
        read_scan(path, accept=("anything", "everything", "shear"))


def test_what_the_search_noted_stands_before_what_reading_notes(tmp_path):
    (source,) = find_scans(write_nifti(tmp_path / "a.nii", VALUES * 0))
    scan = read_scan(replace(source, notes=("was found by chance",)))
    assert scan.warnings == ("was found by chance", "all voxels are equal")
    fault = ScanError("is at fault", path=source.path, remedy="")
    with pytest.raises(ScanError, match="is at fault"):
        read_scan(replace(source, fault=fault))


def test_a_series_in_a_zip_is_that_series(tmp_path):
    pytest.importorskip("pydicom")
    import shutil

    write_series(tmp_path / "series")
    zipped = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "series")
    (source,) = find_scans(zipped)
    scan = read_scan(source)
    assert np.array_equal(scan.voxels, VALUES.transpose(2, 1, 0)) and scan.path == source.path


def test_a_librarys_complaint_is_one_line_of_ours(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii")

    def fails(*_, **__):
        raise IndexError("of\nthe library")

    monkeypatch.setattr("maescan.scans.nifti.read_nifti", fails)
    with pytest.raises(ScanError, match="cannot be read: IndexError: of the library") as error:
        read_scan(path)
    assert "\n" not in str(error.value) and error.value.path == path


def test_another_format_is_no_scan(tmp_path):
    (source,) = find_scans(write_nifti(tmp_path / "a.nii"))
    with pytest.raises(ScanError, match=r"is no scan .*MGH and MINC are read"):
        read_scan(replace(source, format="picture"))


def test_a_package_that_the_install_lacks_is_no_damage_of_the_file(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii.gz")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    monkeypatch.delitem(sys.modules, "maescan.scans.nifti", raising=False)
    with pytest.raises(ScanError, match=r"this installation of maescan lacks nibabel \(.*pip install maescan\)"):
        read_scan(ScanSource("a.nii.gz", path, "nifti", (path,)))
