"""One run at a time writes into a folder, says what it replaces, and leaves none of it beside its own."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys

import pytest

from maescan.datasets.store import CacheWriter
from maescan.errors import DataError
from maescan.files import OUTPUT, claim
from maescan.folders import LOCK, lock, make_own, taken
from maescan.network.forwarder import locked
from maescan.network.spool import Spool

HOLD = """
import sys, time
from pathlib import Path
from maescan.folders import taken
with taken(Path(sys.argv[1]), "numbers"):
    print("held", flush=True)
    time.sleep(60)
"""


def write(out, files, about="", **options):
    """Writes `files`; what was told."""
    told = []
    with taken(out, "numbers", listen=told.append, **options) as run:
        run.replace(files, about)
        for name in files:
            (out / name).write_text(about)
    return told


def claimed(out):
    claim(out, "scores")
    return out


def names(out):
    return {path.name for path in out.iterdir()} - {".maescan"}


def test_what_another_run_wrote_is_told_and_goes_and_what_nobody_wrote_stays(tmp_path):
    assert write(tmp_path / "out", ["a.csv", "a.png"], "bundle b on\nd") == []
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "b.png").write_text("mine")
    said = write(tmp_path / "out", ["a.csv"], "bundle c", before=["a.csv", "b.png"])
    assert said[0].startswith(f"{tmp_path / 'out'}: replaces numbers of before: bundle b on_d~") and len(said) == 1
    assert names(tmp_path / "out") == {"a.csv", "notes.txt", "b.png"}
    assert write(tmp_path / "out", ["a.csv"]) == [f"{tmp_path / 'out'}: replaces numbers of before: bundle c"]


@pytest.mark.parametrize("record", [None, "", "[]", '{"about": "", "files": ["../mine", "/mine"]}'])
def test_a_folder_without_a_record_or_with_a_damaged_one(tmp_path, record):
    claim(tmp_path / "out", "numbers")
    (tmp_path / "out" / "a.png").write_text("old")
    (tmp_path / "mine").write_text("mine")
    if record is not None:
        (tmp_path / "out" / ".maescan" / "written.json").write_text(record)
    said = write(tmp_path / "out", ["a.csv"], before=["a.png", "a.csv"])
    listed = record is not None and "mine" in record
    assert said == ([] if listed else [f"{tmp_path / 'out'}: replaces numbers of before"])
    assert ("a.png" in names(tmp_path / "out")) == listed and (tmp_path / "mine").exists()


def test_several_things_in_one_folder_are_replaced_each_by_itself(tmp_path):
    write(tmp_path, ["one.md"], name="one")
    assert write(tmp_path, ["two.md"], name="two") == []
    assert len(write(tmp_path, ["two.md"], name="two")) == 1 and names(tmp_path) == {"one.md", "two.md"}


def test_a_second_run_is_refused_until_the_first_ends_or_is_killed(tmp_path):
    out = tmp_path / "out"
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another run is writing here"):
            write(out, ["a"])
    finally:
        first.kill()
        first.communicate()
    assert (out / LOCK).exists() and write(out, ["a"]) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])  # Lustre without -o flock, NFS without its daemon
def test_a_file_system_without_locks_is_no_other_run(tmp_path, monkeypatch, number):
    def none(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    for take in (
        lambda: write(tmp_path / "out", ["a"]),
        lambda: CacheWriter(tmp_path / "cache", 8),
        lambda: Spool(tmp_path / "spool"),
        lambda: locked(claimed(tmp_path / "results")).__enter__(),
    ):
        with pytest.raises(DataError, match=f"cannot be locked: {os.strerror(number)} .use a folder on another"):
            take()


def test_a_run_that_fails_leaves_no_new_folder_and_an_old_one_as_it_was(tmp_path):
    def fail(name):
        with pytest.raises(ZeroDivisionError), taken(tmp_path / name, "numbers"):
            raise ZeroDivisionError

    (tmp_path / "there").mkdir()
    write(tmp_path / "old", ["a.csv"])
    for name in ("new", "there", "old"):
        fail(name)
    assert names(tmp_path) == {"there", "old"} and names(tmp_path / "old") == {"a.csv"}


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_what_is_written_in_place_is_no_other_folders(how, tmp_path):
    """A copy of names alone, as of `cp -al` and `cp -as`, or a backup."""
    ours, other = tmp_path / "ours", tmp_path / "other"
    other.write_text("as it was")
    how(other, ours)
    make_own(ours)
    with ours.open("a") as stream:
        stream.write(", and more")
    assert other.read_text() == "as it was" and ours.read_text() == "as it was, and more"
    number = ours.stat().st_ino
    make_own(ours)
    make_own(tmp_path / "none")
    assert ours.stat().st_ino == number and not (tmp_path / "none").exists()


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_a_lock_cuts_nothing_off_where_it_leads(how, tmp_path):
    (tmp_path / "scan.nii").write_text("a scan")
    (tmp_path / "out" / OUTPUT).mkdir(parents=True)
    how(tmp_path / "scan.nii", tmp_path / "out" / LOCK)
    lock(tmp_path / "out").close()
    assert (tmp_path / "scan.nii").read_text() == "a scan"


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_a_new_file_is_open_to_whom_its_folder_is(tmp_path, mode):
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(mode)
    claim(folder, "scores")
    lock(folder).close()
    assert stat.S_IMODE((folder / LOCK).stat().st_mode) == mode & 0o644
