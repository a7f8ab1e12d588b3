"""Finding scans: names that are unique and stay, and nothing that is no scan."""

from __future__ import annotations

import os

import pytest

from helpers.scan_files import write_nifti
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan


def names(*paths):
    return [source.name for source in find_scans(paths)]


def test_names_are_paths_below_the_folder(tmp_path):
    write_nifti(tmp_path / "b.nii.gz")
    write_nifti(tmp_path / "sub" / "a.nii")
    assert names(tmp_path) == ["b.nii.gz", "sub/a.nii"]
    assert names(tmp_path / "sub" / "a.nii") == ["a.nii"]


def test_names_that_clash_take_their_folders(tmp_path):
    for folder in ("x/1", "y/1", "y/2"):
        write_nifti(tmp_path / folder / "a.nii")
    assert names(tmp_path / "x/1", tmp_path / "y/2") == ["1/a.nii", "2/a.nii"]
    assert names(tmp_path / "x/1", tmp_path / "y/1") == ["x/1/a.nii", "y/1/a.nii"]


def test_a_file_given_twice_is_one_scan(tmp_path, monkeypatch):
    write_nifti(tmp_path / "a.nii")
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path, tmp_path / "a.nii", ".", "./a.nii") == ["a.nii"]


def test_a_pair_is_one_scan_of_two_files(tmp_path):
    write_nifti(tmp_path / "a.hdr")
    (source,) = find_scans(tmp_path)
    assert [file.name for file in source.files] == ["a.hdr", "a.img"]


def test_hidden_files_and_others_are_passed_over(tmp_path):
    for name in ("._a.nii", ".git/a.nii", "a.txt", "b.json", ".nii", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert names(tmp_path) == []


def test_what_does_not_exist(tmp_path):
    with pytest.raises(ScanError, match="gone: does not exist"):
        find_scans(tmp_path / "gone")


def test_a_folder_without_scans(tmp_path):
    with pytest.raises(ScanError, match="holds no scan"):
        read_scan(tmp_path)


def test_a_dangling_link_and_a_pipe_do_not_stop_a_folder(tmp_path):
    (tmp_path / "a.nii").symlink_to(tmp_path / "gone.nii")
    for name in ("b.nii", "c.dcm", "d.zip", "e.mhd", "f"):
        os.mkfifo(tmp_path / name)
    reasons = []
    for source in find_scans(tmp_path):
        with pytest.raises(ScanError) as error:
            read_scan(source)
        reasons.append(error.value.reason)
    assert reasons == ["is a link to nowhere", *["is not a file"] * 4]


def test_a_file_that_is_named_and_no_scan_is_not_passed_over(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ScanError, match=r"a\.txt: is no scan"):
        read_scan(tmp_path / "a.txt")


def test_a_folder_that_cannot_be_searched_is_not_passed_over(tmp_path, monkeypatch):
    write_nifti(tmp_path / "a.nii")
    (tmp_path / "sub").mkdir()
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert names(tmp_path) == ["a.nii", "sub"]
    with pytest.raises(ScanError, match="sub: is a folder that cannot be searched"):
        read_scan(find_scans(tmp_path)[1])


def test_dicom_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    for index in range(3):
        (tmp_path / "series" / f"{index}.dcm").parent.mkdir(exist_ok=True)
        (tmp_path / "series" / f"{index}.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (source,) = find_scans(tmp_path)
    assert source.name == "series" and len(source.files) == 3
    with pytest.raises(ScanError, match=r"series: needs pydicom to be read \(pip install 'maescan\[dicom\]'\)"):
        read_scan(source)
