from __future__ import annotations

import os
import time

import pytest

from maescan.scoring import inbox as module
from maescan.scoring.inbox import Inbox, is_network


@pytest.fixture(params=["told", "looking"])
def inbox(tmp_path, request, monkeypatch):
    """An inbox that hears of changes, and one that must look."""
    if request.param == "looking":
        monkeypatch.setattr(module, "is_network", lambda folder: True)
    (tmp_path / "in").mkdir()
    return Inbox(tmp_path / "in", settle=0.2, poll=0.05)


def until(inbox, changed=(), gone=(), seconds=20):
    """Looks until these have been told of."""
    left, lost, end = set(changed), set(gone), time.monotonic() + seconds
    while (left or lost) and time.monotonic() < end:
        new, old = inbox.look()
        left -= new
        lost -= old
        time.sleep(0.02)
    assert not left and not lost


@pytest.mark.slow
def test_files_and_folders_that_come_change_and_go(inbox):
    first, second = inbox.folder / "a.nii", inbox.folder / "sub" / "deep" / "b.nii"
    first.write_bytes(b"a")
    until(inbox, [first])
    second.parent.mkdir(parents=True)
    second.write_bytes(b"b")
    until(inbox, [second])
    assert not inbox.settled(second)
    time.sleep(0.3)
    assert inbox.settled(first) and inbox.settled(second)
    second.write_bytes(b"longer")
    until(inbox, [second])
    moved = inbox.folder / "moved"
    (inbox.folder / "sub").rename(moved)
    until(inbox, [moved / "deep" / "b.nii"], [second])
    first.unlink()
    until(inbox, gone=[first])
    assert set(inbox.files) == {moved / "deep" / "b.nii"}


def test_hidden_files_and_outputs_are_not_there(inbox):
    (inbox.folder / "out" / ".maescan").mkdir(parents=True)
    for name in (".hidden", "out/map.nii", ".folder/scan.nii", "scan.nii"):
        (inbox.folder / name).parent.mkdir(exist_ok=True)
        (inbox.folder / name).write_bytes(b"x")
    until(inbox, [inbox.folder / "scan.nii"])
    time.sleep(0.5)
    inbox.look()
    assert set(inbox.files) == {inbox.folder / "scan.nii"}


def test_what_was_moved_here_arrived_when_it_was_seen(inbox, tmp_path):
    old = tmp_path / "old.nii"
    old.write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    inbox.look()
    old.rename(inbox.folder / "old.nii")
    until(inbox, [inbox.folder / "old.nii"])
    assert abs(time.time() - inbox.files[inbox.folder / "old.nii"].arrived) < 10


def test_an_inbox_that_is_away_for_a_while_forgets_nothing(inbox, monkeypatch):
    file = inbox.folder / "a.nii"
    file.write_bytes(b"a")
    until(inbox, [file])
    monkeypatch.setattr(inbox, "_next", 0.0)
    inbox.folder.rename(inbox.folder.with_name("away"))
    assert inbox.look() == (set(), set()) and set(inbox.files) == {file}
    inbox.folder.with_name("away").rename(inbox.folder)


@pytest.mark.slow
def test_the_folder_is_not_looked_through_where_the_system_tells(tmp_path, monkeypatch):
    walks = []
    real = module.walk
    monkeypatch.setattr(module, "walk", lambda folder: walks.append(folder) or real(folder))
    for number in range(50):
        (tmp_path / f"{number}.nii").write_bytes(b"x")
    inbox = Inbox(tmp_path, settle=0.0, poll=0.01)
    inbox.look()
    before = len(walks)
    for _ in range(200):
        time.sleep(0.005)
        inbox.look()
    assert len(walks) - before < 12


def test_a_local_folder_is_no_network(tmp_path):
    assert not is_network(tmp_path)
