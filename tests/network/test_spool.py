from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from helpers.dicom_node import spooled
from maescan.errors import DataError
from maescan.network import spool as module
from maescan.network.spool import BAD_UID, DAMAGED, MISMATCH, NO_ROOM, REASONS, SUCCESS, UNKEPT, Spool


def keep(spool, path, uid=None, data=None):
    incoming = spool.incoming()
    incoming.write(data or path.read_bytes())
    return spool.keep(incoming.path, uid or str(dcmread(path).SOPInstanceUID), "a")


@pytest.fixture
def spool(tmp_path):
    found = Spool(tmp_path / "out", largest=1 << 20)
    yield found
    found.close()


def test_file_name_and_folders_are_on_disk_before_success_is_answered(spool, slices, tmp_path, monkeypatch):
    calls, real = [], {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def named(what):
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
        return os.path.relpath(path, spool.folder)

    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("fsync", named(fd))) or real["fsync"](fd))
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("name", named(b))) or real["replace"](a, b))
    add = spool.journal.add
    monkeypatch.setattr(
        spool.journal, "add", lambda *values: calls.append(("journal", values[0].path)) or add(*values)
    )
    assert keep(spool, slices[0]) == SUCCESS
    calls.append(("answer", ""))
    (place,) = spooled(tmp_path / "out")
    name = os.path.relpath(place, spool.folder)
    assert [kind for kind, _ in calls] == ["fsync", "name", "fsync", "fsync", "fsync", "journal", "answer"]
    assert calls[0][1].startswith("part/") and calls[1][1] == name and calls[2][1] == os.path.dirname(name)
    assert {path for kind, path in calls[3:5]} == {os.path.dirname(os.path.dirname(name)), "in"}


def test_a_file_system_without_hard_links_will_do(spool, slices, tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(errno.EPERM, "exFAT has none")

    monkeypatch.setattr(os, "link", link)
    assert keep(spool, slices[0]) == SUCCESS and len(spooled(tmp_path / "out")) == 1


@pytest.mark.parametrize("fault, status", [(errno.ENOSPC, NO_ROOM), (errno.EIO, UNKEPT), (errno.EROFS, UNKEPT)])
def test_nothing_is_left_where_the_disk_refuses_and_the_image_is_not_blamed(
    spool, slices, tmp_path, monkeypatch, fault, status
):
    def refuse(*_):
        raise OSError(fault, "refused")

    monkeypatch.setattr(os, "replace", refuse)
    assert keep(spool, slices[0]) == status
    assert not spooled(tmp_path / "out") and not list((spool.folder / "part").iterdir())
    assert not spool.journal.paths()


def test_nothing_is_left_where_the_journal_is_full(spool, slices, tmp_path, monkeypatch):
    import sqlite3

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(spool.journal, "sends", full)
    assert keep(spool, slices[0]) == NO_ROOM
    assert not spooled(tmp_path / "out") and not spool.journal.paths()


def test_an_image_that_is_too_large_is_refused(spool, slices, tmp_path):
    assert keep(spool, slices[0], data=slices[0].read_bytes() + b"\0" * (1 << 20)) == NO_ROOM
    assert not spooled(tmp_path / "out") and not list((spool.folder / "part").iterdir())


def test_the_same_instance_in_other_syntaxes_changes_nothing(spool, slices, tmp_path):
    assert keep(spool, slices[0]) == SUCCESS
    (before,) = spooled(tmp_path / "out")
    content, version = before.read_bytes(), spool.journal.ready(1e12, 0, 0)
    for number, syntax in enumerate([None, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]):
        dataset = dcmread(slices[0])
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        elif syntax:
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = dataset.pixel_array.byteswap().tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
        again = tmp_path / f"again{number}"
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        dcmwrite(again, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
        assert keep(spool, again) == SUCCESS, syntax
        assert spooled(tmp_path / "out") == [before], syntax
    assert before.read_bytes() == content
    assert [each.version for each in spool.journal.ready(1e12, 0, 0)] in ([], [each.version for each in version])


@pytest.mark.parametrize("change", ["PatientName", "PixelData"])
def test_another_content_under_the_same_uid_is_kept_too(spool, slices, tmp_path, change):
    assert keep(spool, slices[0]) == SUCCESS
    (first,) = spooled(tmp_path / "out")
    dataset = dcmread(slices[0])
    setattr(dataset, change, "B" if change == "PatientName" else dataset.PixelData[:-2] + b"\1\1")
    dataset.save_as(slices[1])
    for _ in range(2):
        assert keep(spool, slices[1]) == SUCCESS
    both = spooled(tmp_path / "out")
    assert len(both) == 2 and first in both
    rows = spool.journal.of_uid(str(dataset.SOPInstanceUID))
    assert [row.conflict for row in rows] == [None, rows[0].path]
    assert dcmread(spool.folder / rows[1].path)[change].value == dataset[change].value


@pytest.mark.parametrize(
    ("tag", "value", "status"),
    [
        ("SeriesInstanceUID", "../../../etc", BAD_UID),
        ("StudyInstanceUID", "", BAD_UID),
        ("SOPInstanceUID", "1." + "2" * 63, BAD_UID),
        ("SOPInstanceUID", "1.2.3", MISMATCH),
    ],
)
def test_uids_are_checked_before_they_become_names(spool, slices, tmp_path, tag, value, status):
    uid = str(dcmread(slices[0]).SOPInstanceUID)
    dataset = dcmread(slices[0])
    odd = status == BAD_UID and value
    with pytest.warns(UserWarning, match=r"Invalid value|exceeds") if odd else contextlib.nullcontext():
        setattr(dataset, tag, value)
        dataset.save_as(slices[0])
        assert keep(spool, slices[0], uid) == status
    assert not spooled(tmp_path / "out")


def test_what_is_no_dicom_is_refused(spool, slices, tmp_path):
    assert keep(spool, slices[0], uid="1.2", data=b"\0" * 400) in (BAD_UID, DAMAGED)
    assert not spooled(tmp_path / "out") and not list((spool.folder / "part").iterdir())


def test_a_few_bytes_that_inflate_to_many_are_refused(spool, slices, tmp_path):
    """pydicom would inflate them in the receiver's own memory."""
    dataset = dcmread(slices[0])
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(slices[0], dataset, enforce_file_format=True)
    assert keep(spool, slices[0]) == SUCCESS
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.PixelData = bytes((64 << 20) + 2)
    dcmwrite(slices[0], dataset, enforce_file_format=True)
    data = slices[0].read_bytes()
    assert len(data) < 1 << 20 and keep(spool, slices[0], "1.2.3.4", data) == DAMAGED
    assert "if deflated, in another syntax" in REASONS[DAMAGED]


def test_files_of_a_killed_receiver_are_found_again(spool, slices, tmp_path):
    assert keep(spool, slices[0]) == SUCCESS
    (place,) = spooled(tmp_path / "out")
    (spool.folder / "part" / "half.dcm").write_bytes(b"half")
    spool.close()
    (spool.folder / "journal.sqlite").unlink()
    again = Spool(tmp_path / "out")
    assert [each.aborted for each in again.journal.ready(1e12, 0, 0)] == [True]
    assert spooled(tmp_path / "out") == [place] and not list((again.folder / "part").iterdir())
    assert again.holds(str(dcmread(slices[0]).SOPInstanceUID), str(dcmread(slices[0]).SOPClassUID))
    again.close()


def test_a_damaged_file_that_nobody_knows_stays_and_is_counted(spool, tmp_path):
    spool.close()
    bad = spool.folder / "in" / "a" / "b" / "c.dcm"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"bad")
    again = Spool(tmp_path / "out")
    assert again.unread == 1 and bad.read_bytes() == b"bad"
    again.close()


def test_only_scored_series_are_removed_and_a_resent_one_is_kept_again(spool, slices, tmp_path):
    assert keep(spool, slices[0]) == SUCCESS
    spool.journal.ended("a", time.time(), aborted=False)
    assert spool.remove_old(0) == 0 and len(spooled(tmp_path / "out")) == 1
    (series,) = spool.journal.ready(1e12, 0, 0)
    spool.journal.give(series)
    spool.journal.done(series.key)
    assert spool.remove_old(60) == 0
    assert spool.remove_old(0) == 1 and not spooled(tmp_path / "out")
    assert not spool.holds(str(dcmread(slices[0]).SOPInstanceUID), str(dcmread(slices[0]).SOPClassUID))
    assert keep(spool, slices[0]) == SUCCESS and len(spooled(tmp_path / "out")) == 1


def test_nobody_else_can_read_it(spool, slices, tmp_path):
    keep(spool, slices[0])
    for path in [spool.folder, *spool.folder.rglob("*")]:
        if path.name.startswith("journal") or path.name == "lock":
            continue  # the receiver's process has a umask for these
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_second_receiver_is_refused(spool, tmp_path):
    with pytest.raises(DataError, match="another receiver"):
        Spool(tmp_path / "out")


@pytest.mark.parametrize("uid", ["", ".", "..", "1..2", "1.2/3", "1.2\n", "1.2 ", "a.b", "1" * 65, "1.2\0"])
def test_what_is_no_uid(uid):
    assert not module.valid_uid(uid)
    assert module.valid_uid("1.2.840.10008.1")


def test_an_image_that_comes_while_its_series_is_removed_stays(spool, slices, tmp_path, monkeypatch):
    """It was acknowledged: the list of old series was made before."""
    assert keep(spool, slices[0]) == SUCCESS
    spool.journal.ended("a", time.time(), aborted=False)
    (series,) = spool.journal.ready(1e12, 0, 0)
    spool.journal.give(series)
    spool.journal.done(series.key)
    listed = spool.journal.kept_since(1e12)
    monkeypatch.setattr(spool.journal, "kept_since", lambda before: keep(spool, slices[1]) or listed)
    assert spool.remove_old(-1e9) == 0 and len(spooled(tmp_path / "out")) == 2
    assert spool.holds(str(dcmread(slices[1]).SOPInstanceUID))


def test_files_that_were_being_removed_go_at_the_next_start(spool, slices, tmp_path):
    assert keep(spool, slices[0]) == SUCCESS
    (stored,) = spool.journal.of_uid(str(dcmread(slices[0]).SOPInstanceUID))
    spool.journal.removed(stored.series)
    spool.close()
    again = Spool(tmp_path / "out")
    assert not spooled(tmp_path / "out")
    again.close()


def test_the_same_uid_in_another_series_is_no_conflict(spool, slices, tmp_path):
    """As where a console splits a series: both are scored."""
    assert keep(spool, slices[0]) == SUCCESS
    dataset = dcmread(slices[0])
    dataset.SeriesInstanceUID += ".7"
    dataset.save_as(tmp_path / "other.dcm")
    assert keep(spool, tmp_path / "other.dcm") == SUCCESS
    found = spool.journal.of_uid(str(dataset.SOPInstanceUID))
    assert len({stored.series for stored in found}) == 2 and not any(stored.conflict for stored in found)
    assert len(spooled(tmp_path / "out")) == 2


def test_what_an_association_was_sending_goes_with_it(spool, slices):
    incoming = spool.incoming()
    incoming.write(slices[0].read_bytes()[:500])
    spool.drop(-1)
    assert incoming.path.exists()
    spool.drop(incoming.thread)
    assert not incoming.path.exists() and incoming.closed
    assert spool.keep(incoming.path, "1.2", "a") == NO_ROOM
