"""Finding scans: names that are unique and stay, and nothing that is no scan."""

from __future__ import annotations

import gzip
import os
import zipfile

import numpy as np
import pytest

from helpers.scan_files import write_nifti
from maescan.errors import ScanError
from maescan.results import maps
from maescan.scans import find_scans, read_scan
from maescan.scans.find import survey


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


def test_a_map_that_maescan_wrote_is_no_scan_wherever_it_lies(tmp_path):
    volume, where = np.ones((5, 6, 4), np.float32), (np.eye(4), None)
    maps.write_map(tmp_path / "in" / "heat.nii.gz", volume, np.eye(4), maps.Scale(1.0, "score"))
    maps.write_values(tmp_path / "in" / "saved.nii.gz", volume, where, maps.Scale(1.0, "score"))
    with gzip.open(tmp_path / "in" / "heat.nii.gz") as stream:
        (tmp_path / "in" / "plain.nii").write_bytes(stream.read())
    with zipfile.ZipFile(tmp_path / "in" / "all.zip", "w") as archive:
        archive.write(tmp_path / "in" / "plain.nii", "plain.nii")
    write_nifti(tmp_path / "in" / "scan.nii.gz")
    for paths in ([tmp_path / "in"], list((tmp_path / "in").iterdir())):
        found = survey(paths)
        assert [source.name for source in found.sources] == ["all.zip"] * (len(paths) > 1) + ["scan.nii.gz"]
        told = {item.name for item in found.passed_over if item.why == "output"}
        assert told == {"heat.nii.gz", "plain.nii", "saved.nii.gz", "all.zip/plain.nii"}
    with pytest.raises(ScanError, match="holds no scan that can be read"):
        read_scan(tmp_path / "in" / "heat.nii.gz")


def test_a_named_file_among_what_maescan_wrote_is_passed_over(tmp_path):
    (tmp_path / "out" / ".maescan").mkdir(parents=True)
    file = write_nifti(tmp_path / "out" / "maps" / "any.nii.gz")
    (tmp_path / "link.nii.gz").symlink_to(file)
    for path in (file, tmp_path / "link.nii.gz"):
        found = survey(path)
        assert not found.sources and [(item.name, item.why) for item in found.passed_over] == [(path.name, "output")]
    assert names(write_nifti(tmp_path / "out" / "mine.nii.gz")) == ["mine.nii.gz"]


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
    with pytest.raises(ScanError, match=r"series: needs pydicom to be read \(.*pip install 'maescan\[dicom\]'\)"):
        read_scan(source)


def test_links_in_circles_stop_no_search(tmp_path):
    write_nifti(tmp_path / "a.nii")
    (tmp_path / "d.raw").symlink_to("d.raw")
    (tmp_path / "self").symlink_to("self")
    header = "NDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementDataFile = d.raw\n"
    (tmp_path / "b.mhd").write_text(header)
    assert names(tmp_path) == ["a.nii", "b.mhd"]
    with pytest.raises(ScanError, match=r"'d\.raw', which holds the voxels of 'b\.mhd', is a link to nowhere"):
        read_scan(tmp_path / "b.mhd")
    for given in (tmp_path / "self", tmp_path / "d.raw"):
        (source,) = find_scans(given)
        assert source.fault is not None and "is a link to nowhere" in source.fault.reason


def test_a_file_that_nobody_can_look_into_stops_no_search(tmp_path, monkeypatch):
    for name in ("a.nii", "b.nii"):
        write_nifti(tmp_path / name)

    def look(file):
        if file.name == "b.nii":
            raise RecursionError("too deep")

    monkeypatch.setattr("maescan.scans.find.pointer_at", look)
    good, bad = find_scans(tmp_path)
    assert good.fault is None and bad.fault is not None and bad.files == (tmp_path / "b.nii",)
    assert bad.fault.reason == "cannot be looked into: RecursionError: too deep"


def test_every_file_in_a_zip_is_accounted_for(tmp_path):
    write_nifti(tmp_path / "a.nii")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.nii", "s/a.nii")
        for name in ("notes.txt", "s/b.mif", "s/._a.nii"):
            archive.writestr(name, "text")
    wanted = {"a.zip/notes.txt": "other", "a.zip/s/b.mif": "unread", "a.zip/s/._a.nii": "hidden"}
    for given in (tmp_path, tmp_path / "a.zip"):
        found = survey(given)
        assert [source.name for source in found.sources if source.path == tmp_path / "a.zip"] == ["a.zip"]
        assert {item.name: item.why for item in found.passed_over} == wanted
        assert {item.path for item in found.passed_over} == {tmp_path / name for name in wanted}


def test_a_zip_without_scans_says_what_is_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "text")
    told = {item.name: item.reason for item in survey(tmp_path).passed_over}
    assert told == {"a.zip": "holds no scan", "a.zip/notes.txt": "is no scan"}
    (source,) = find_scans(tmp_path / "a.zip")
    assert source.fault is not None and source.fault.reason == "holds no scan"


def test_a_package_that_the_install_lacks_is_no_damage_of_the_file(tmp_path, monkeypatch):
    write_nifti(tmp_path / "a.nii.gz")

    def without(*_):
        raise ModuleNotFoundError("No module named 'isal'", name="isal")

    monkeypatch.setattr("maescan.scans.find._in_file", without)
    (source,) = find_scans(tmp_path)
    assert source.fault.reason == "this installation of maescan lacks isal"
    assert source.fault.remedy.endswith("pip install maescan")


def test_a_file_that_may_not_be_read_is_not_called_no_scan(tmp_path, monkeypatch):
    """A series without extensions that belongs to another user was passed over like any README."""
    for name in ("IM0001", "notes.txt"):
        (tmp_path / name).write_bytes(b"x" * 200)

    def closed(path):
        raise ScanError("cannot be read: Permission denied", path=path) from PermissionError(13, "Permission denied")

    monkeypatch.setattr("maescan.scans.dicom.file.is_dicom", closed)
    passed = {item.name: (item.why, item.reason) for item in survey(tmp_path).passed_over}
    assert passed["IM0001"] == ("unread", "cannot be read: see who may read it")
    assert passed["notes.txt"][0] == "other"


def test_a_file_in_a_folder_that_may_not_be_searched_is_one_row(tmp_path, monkeypatch):
    """It ended the search of all that was named."""

    def closed(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    file = write_nifti(tmp_path / "in" / "a.nii")
    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, closed)
    found = survey(file).sources
    monkeypatch.undo()
    assert [source.name for source in found] == ["a.nii"]
    assert found[0].fault is None or str(found[0].fault.reason) == "cannot be read: Permission denied"
