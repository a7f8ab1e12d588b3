"""What scans are called."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from helpers.scan_files import UID, VALUES, write_nifti, write_series
from maescan.scans import find_scans
from maescan.scans.labels import longer_labels
from maescan.scans.source import ScanSource


def names(*paths):
    return [source.name for source in find_scans(paths)]


def test_a_shared_label_takes_as_many_folders_as_tell_it_apart(tmp_path):
    files = [write_nifti(tmp_path / f"sub-{i:02}" / "anat" / "T1w.nii.gz") for i in (1, 2)]
    other = write_nifti(tmp_path / "other.nii.gz")
    expected = ["other.nii.gz", "sub-01/anat/T1w.nii.gz", "sub-02/anat/T1w.nii.gz"]
    for order in itertools.permutations([*files, other]):
        assert names(*order) == expected
    assert names(files[0]) == ["T1w.nii.gz"] and names(tmp_path) == expected


def test_only_those_that_share_a_label_take_folders(tmp_path):
    for place in ("a/x/1.nii", "b/x/1.nii", "b/x/2.nii", "c/1.nii"):
        write_nifti(tmp_path / place)
    assert names(tmp_path / "a/x", tmp_path / "b/x", tmp_path / "c") == ["2.nii", "a/x/1.nii", "b/x/1.nii", "c/1.nii"]


def test_a_series_is_its_folder_its_number_and_its_description(tmp_path):
    write_series(tmp_path / "ct", SeriesNumber=7, SeriesDescription="Chest / lung  1.0 ä!")
    assert names(tmp_path) == names(tmp_path / "ct") == ["ct/7-Chest_lung_1.0_ä"]
    write_series(tmp_path / "ct", first=50, SeriesInstanceUID=UID + "2", SeriesNumber=8)
    assert names(tmp_path) == ["ct/7-Chest_lung_1.0_ä", "ct/8"]
    write_series(tmp_path / "one", first=70, SeriesInstanceUID=UID + "3", depths=[0], values=VALUES[:1])
    assert "one/3" in names(tmp_path)


def test_what_a_series_says_of_itself_is_never_a_path(tmp_path, recwarn):
    for description in ("/../../../../x", "..", "a\nb\x1b[31m", "\\\\server\\x", "=1+1", "." * 9):
        write_series(tmp_path / "st", SeriesDescription=description, SeriesNumber=None)
        (name,) = names(tmp_path)
        folder, own = name.split("/")
        assert folder == "st" and own.isprintable() and not own.startswith((".", "="))


def test_two_series_of_one_number_differ_and_stay(tmp_path):
    write_series(tmp_path / "st")
    write_series(tmp_path / "st", first=50, SeriesInstanceUID=UID + "2")
    first, second = names(tmp_path)
    assert first != second and names(tmp_path) == [first, second]


def test_names_that_are_no_text_are_text(tmp_path):
    places = [b"\xff.nii", b"\xfe.nii", b"a\nb.nii", "\u202efdp.nii".encode(), "ü.nii".encode()]
    for place in places:
        (tmp_path / os.fsdecode(place)).write_bytes(b"x")
    found = names(tmp_path)
    assert len(set(found)) == 5 and all(name.isprintable() and name.encode() for name in found) and "ü.nii" in found


def test_what_maescan_wrote_is_no_scan(tmp_path):
    write_nifti(tmp_path / "a.nii")
    write_nifti(tmp_path / "out" / "maps" / "a.nii_anomaly.nii.gz")
    (tmp_path / "out" / ".maescan").mkdir()
    assert names(tmp_path) == ["a.nii"]


def test_a_folder_and_a_link_to_it_hold_their_scans_once(tmp_path):
    write_nifti(tmp_path / "a" / "x.nii")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert names(tmp_path / "a", tmp_path / "link") == names(tmp_path / "link", tmp_path / "a") == ["x.nii"]


@pytest.mark.parametrize(
    ("name", "path", "first"),
    [
        ("x.nii", "/a/b/x.nii", "b/x.nii"),
        ("b/x.nii", "/a/b/x.nii", "a/b/x.nii"),
        ("st/3-t1", "/a/b/st", "b/st/3-t1"),
        ("b/st/3", "/a/b/st", "a/b/st/3"),
        ("z.zip/q/x.nii", "/a/b/z.zip", "b/z.zip/q/x.nii"),
        ("b/x.nii", "/a/b/b/x.nii", "b/b/x.nii"),
        ("b/b/x.nii", "/a/b/b/x.nii", "a/b/b/x.nii"),
    ],
)
def test_a_longer_label_begins_with_the_folder_above_what_it_says_already(name, path, first):
    assert longer_labels(ScanSource(name, Path(path), "nifti", (Path(path),)))[0] == first


def test_an_image_is_called_by_the_folder_of_its_series():
    image = Path("/a/b/st/0.dcm")
    assert longer_labels(ScanSource("st/3", image, "dicom", (image,), "1.2", identity="1"))[0] == "b/st/3"
