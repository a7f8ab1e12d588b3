from __future__ import annotations

import os
from dataclasses import replace

from maescan.scans.source import ScanSource
from maescan.scoring.places import alike, around, called_now, goes_on, members_of, place_of, renamed


def test_a_scan_lies_where_its_links_lead_but_the_last(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.nii").touch()
    (tmp_path / "real" / "b.nii").symlink_to("a.nii")
    (tmp_path / "linked").symlink_to("real")
    file = tmp_path / "linked" / "b.nii"
    source = ScanSource("b", file, "nifti", (file,))
    assert place_of(source) == os.path.realpath(tmp_path / "real") + "/b.nii"
    packed = place_of(replace(source, members=("one.nii", "two.img")))
    assert members_of(packed) == "one.nii\0two.img" and members_of(place_of(source)) == ""


def test_files_that_do_not_say_their_series_are_told_apart(tmp_path):
    one, two = (ScanSource("x", tmp_path, "dicom", (tmp_path / name,)) for name in "ab")
    assert place_of(one) != place_of(two) == f"{os.path.realpath(tmp_path)}\0b"
    assert place_of(replace(one, identity="series")) == place_of(replace(two, identity="series"))


def test_one_place_lies_in_another():
    assert around("/a", "/a") and around("/a", "/a/b") and around("/a/b", "/a") and not around("/a", "/ab")


def test_a_search_goes_on_where_all_that_came_stands_as_it_stood():
    assert goes_on([(0, b"/a"), (3, b"/d")], [b"/a", b"/b", b"/c", b"/d", b"/e"])
    assert goes_on([(0, b"/a"), (7, b"/removed")], [b"/a", b"/b"])
    assert not goes_on([(0, b"/a"), (1, b"/c")], [b"/a", b"/b", b"/c"])
    assert not goes_on([(0, b"/a"), (9, b"/b")], [b"/a", b"/b"]) and not goes_on([(0, b"/removed")], [b"/a"])


def test_a_file_of_another_name_than_its_label_is_told():
    same = [
        ("a.nii", "/in/a.nii"),
        ("x/a.nii", "/x/a.nii"),
        ("b_.nii~0123abcd", "/in/b\n.nii"),
        ("a.nii~1234", "/a.nii"),
    ]
    assert renamed([*same, ("3-t1", "/in/zip\0t1.nii"), ("a.nii", "/in/b.nii")]) == [("a.nii", "b.nii")]


def test_a_scan_whose_folder_is_called_otherwise_now_is_told(tmp_path):
    file = tmp_path / "in" / "sub-1" / "t1.nii"
    source = ScanSource("sub-1/t1.nii", file, "nifti", (file,))
    same = ("sub-1/t1.nii", "t1.nii", "in/sub-1/t1.nii", "sub-1/t1.nii~0123abcd")
    assert [called_now(label, each) for label in same for each in (source, replace(source, name="t1.nii"))] == [
        ""
    ] * 8
    assert called_now("sub-2/t1.nii", source) == called_now("sub-11/t1.nii", source) == "sub-1/t1.nii"
    series = ScanSource("P1/3-T1", tmp_path / "in" / "P1", "dicom", (), "1.2.3", identity="series")
    assert called_now("P2/3-T1", series) == "P1/3-T1" and not called_now("in/P1/3-T1~0123abcd", series)


def test_places_are_alike_in_their_last_names():
    assert alike("/a/P1/t1", "/b/P1/t1") == 2 and alike("/a/P1/t1\0x", "/b/P2/t1") == 1 and alike("/a", "/b") == 0
