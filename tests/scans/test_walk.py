"""Each folder is searched once, whichever way it is come to."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

from maescan.results.paths import PLACES
from maescan.scans.source import PassedOver
from maescan.scans.walk import HOLD, Visited, walk


def split(root: Path, *more: object) -> tuple[list[str], list[tuple[str, str]]]:
    """The paths below root, and what was passed over with why."""
    items = list(walk(root, *more))
    paths = [path.relative_to(root).as_posix() for path in items if isinstance(path, Path)]
    return paths, [(item.name, item.why) for item in items if isinstance(item, PassedOver)]


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_linked_folders_are_followed_once(tmp_path):
    make(tmp_path, "in/a/1", "elsewhere/2")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in/a")
    (tmp_path / "in/self").symlink_to("self")
    paths, passed = split(tmp_path / "in")
    assert paths == ["self", "a/1", "b/2"]  # a link in circles is a link to nowhere
    assert passed == [("c", "link"), ("loop", "link"), ("b/back", "link")]


def test_a_scan_is_called_by_the_place_where_it_lies(tmp_path):
    make(tmp_path, "z/1")
    (tmp_path / "a").symlink_to("z")
    assert split(tmp_path) == (["z/1"], [("a", "link")])


def test_folders_of_two_disks_that_are_shared_as_one_may_have_one_inode(tmp_path, monkeypatch):
    make(tmp_path, "a/1", "b/2")
    (tmp_path / "c").symlink_to("a")
    real = Path.stat

    def one_inode(path, **options):
        found = real(path, **options)
        return SimpleNamespace(st_dev=1, st_ino=2, st_mode=found.st_mode, st_ctime_ns=found.st_ino)

    monkeypatch.setattr(Path, "stat", one_inode)
    assert split(tmp_path) == (["a/1", "b/2"], [("c", "link")])


def test_two_roots_share_what_they_have_visited(tmp_path):
    make(tmp_path, "a/1")
    visited = Visited()
    assert split(tmp_path, (), visited)[0] == ["a/1"]
    assert split(tmp_path / "a", (), visited) == ([], [])


def test_hidden_files_and_outputs_are_told(tmp_path):
    make(tmp_path, "a/1", ".git/2", "a/._1", "out/.maescan/3", "out/maps/4.nii.gz")
    assert split(tmp_path) == (["a/1"], [(".git", "hidden"), ("a/._1", "hidden"), ("out", "output")])


def test_a_bundle_holds_no_scans(tmp_path):
    """Its golden scan is a phantom's, which would alert among the patients."""
    make(tmp_path, *(f"b/{name}" for name in ("manifest.json", "golden/golden.safetensors", "golden/scan.nii.gz")))
    make(tmp_path, "a/manifest.json", "a/golden/scan.nii.gz")
    assert split(tmp_path) == (["a/manifest.json", "a/golden/scan.nii.gz"], [("b", "output")])
    reason = "is a bundle, which is no input"
    assert [(item.name, item.reason) for item in walk(tmp_path / "b")] == [("b", reason)]


def test_what_maescan_wrote_is_told_whichever_way_it_is_come_to(tmp_path):
    make(tmp_path, "in/1", "out/.maescan/kind", "out/maps/a/2", "out/mine/3", "out/.maescan/spool/in/4")
    for name, target in {"a": "maps/a", "m": "maps", "mine": "mine", "received": ".maescan/spool/in"}.items():
        (tmp_path / "in" / name).symlink_to(tmp_path / "out" / target)
    assert split(tmp_path / "in") == (["1", "mine/3", "received/4"], [("a", "output"), ("m", "output")])
    assert split(tmp_path / "out" / "maps" / "a") == ([], [("a", "output")])
    assert split(tmp_path / "out" / "mine") == (["3"], [])


def test_the_folders_of_results_are_those_that_are_written():
    written = {place(Path("/out"), "scan").relative_to("/out").parts[0] for place in PLACES.values()}
    assert written == HOLD


def test_a_folder_that_cannot_be_searched_is_a_path(tmp_path, monkeypatch):
    make(tmp_path, "a/1", "b/2")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("a") and access(path, mode))
    assert split(tmp_path) == (["a", "b/2"], [])


def test_folders_to_skip_come_untouched(tmp_path):
    make(tmp_path, "a/1", "b/2")
    assert split(tmp_path, {str(tmp_path / "a")}) == (["a", "b/2"], [])


def test_deep_trees(tmp_path):
    folder = tmp_path
    for _ in range(200):
        folder = folder / "d"
    make(folder, "1")
    assert len(split(tmp_path)[0]) == 1
