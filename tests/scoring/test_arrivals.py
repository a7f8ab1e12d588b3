from __future__ import annotations

import time

import pytest

from helpers.inputs import given
from helpers.scoring_stub import write_scan
from helpers.series import write_slices
from maescan.errors import ScanError
from maescan.scans.budget import Limits
from maescan.scans.worker import WorkerLostError
from maescan.scoring.arrivals import Arrivals, Poll
from maescan.scoring.watch import Folder, Inbox

SETTLE = 1.0


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def arrivals(inbox):
    return Arrivals(inbox, SETTLE, 0.01, {})


def found(arrivals, seconds=None):
    """(label, files, notes) of all that arrives within some seconds; else of what arrives, and in a moment after."""
    end, seen = time.monotonic() + (seconds or 20), []
    while time.monotonic() < end:
        poll = arrivals.poll()
        seen += [(arrived.source.name, len(arrived.source.files), arrived.source.notes) for arrived in poll.ready]
        end = min(end, time.monotonic() + 0.5) if poll.ready and seconds is None else end
        time.sleep(0.02)
    return seen


@pytest.mark.slow
def test_a_series_is_one_scan_once_its_own_files_stand_still(inbox, arrivals):
    write_slices(inbox / "series", range(4))
    assert found(arrivals, 0.2) == []
    write_slices(inbox / "series", range(4, 6))
    (inbox / "series" / "other.nii.gz").write_bytes(b"x")
    assert found(arrivals, 0.2) == []
    names = {(name, count) for name, count, _ in found(arrivals)}
    assert names == {("series/other.nii.gz", 1), ("series/3", 6)}
    assert found(arrivals, 1.5) == []


@pytest.mark.slow
def test_what_is_lost_of_a_series_is_not_scored_again_what_comes_is(inbox, arrivals):
    files = write_slices(inbox, range(6))
    assert [count for _, count, _ in found(arrivals)] == [6]
    files[0].unlink()
    given(files[0])
    assert found(arrivals, 1.5) == []
    write_slices(inbox, [6])
    ((_, count, (note,)),) = found(arrivals)
    assert count == 6 and note.startswith("incomplete: 1 of the images")


@pytest.mark.slow
def test_two_series_of_one_folder_and_one_over_two_folders(inbox, arrivals):
    write_slices(inbox / "a", range(3), uid="1.2.1")
    write_slices(inbox / "a", range(3), uid="1.2.2", patient="B")
    write_slices(inbox / "b", range(3), uid="1.2.3")
    write_slices(inbox / "c", range(3, 6), uid="1.2.3")
    assert sorted(count for _, count, _ in found(arrivals)) == [3, 3, 6]


@pytest.mark.slow
def test_a_file_that_does_not_say_yet_what_it_is(inbox, arrivals):
    (whole,) = write_slices(inbox / "away", [0])
    content = whole.read_bytes()
    whole.unlink()
    given(whole)
    (inbox / "growing").write_bytes(content[:200])
    assert found(arrivals, 0.2) == []
    (inbox / "growing").write_bytes(content)
    ((_, count, _),) = found(arrivals)
    assert count == 1


@pytest.mark.slow
def test_voxels_that_come_behind_their_header(inbox, arrivals):
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    (inbox / "a.mhd").write_text(header)
    assert [(name, count) for name, count, _ in found(arrivals)] == [("a.mhd", 1)]
    (inbox / "a.raw").write_bytes(bytes(512))
    assert [(name, count) for name, count, _ in found(arrivals)] == [("a.mhd", 2)]


@pytest.mark.slow
def test_a_scan_that_comes_is_told_of_once(inbox, arrivals):
    write_slices(inbox / "s", range(2))
    told, end = [], time.monotonic() + 1
    while time.monotonic() < end:
        told += [source.name for source in arrivals.poll().arriving]
        time.sleep(0.02)
    assert told == ["s/3"]


def test_a_file_with_a_known_fault_is_not_touched(inbox):
    file = write_scan(inbox / "bad.nii.gz", 0)
    fault = ScanError("hangs", path=file)
    arrivals, end = Arrivals(inbox, 0.0, 0.01, {str(file.absolute()): fault}), time.monotonic() + 10
    ready = []
    while not ready and time.monotonic() < end:
        ready = arrivals.poll().ready
    assert ready[0].source.fault is fault


def test_where_nothing_can_look_into_the_inbox_it_is_told(inbox, monkeypatch):
    class Lost:
        def call(self, *_, path, **__):
            raise WorkerLostError("the reader could not start", path=path, remedy="free memory")

        def close(self):
            pass

    monkeypatch.setattr(Folder, "_looking", lambda self: Lost())
    folder = Folder(Inbox(inbox), Limits())
    assert folder.poll() == folder.poll() == Poll([], [], False, ("the reader could not start", "free memory"))


def test_what_went_before_it_had_arrived_is_told(inbox, arrivals):
    """Else it would be arriving for ever: an upload under a name of its own, renamed before it stood still."""
    path = write_scan(inbox / "part.nii.gz", 0)
    assert [source.name for source in arrivals.poll().arriving] == ["part.nii.gz"]
    path.rename(inbox / "whole.nii.gz")
    given(path)
    gone, end = [], time.monotonic() + 20
    while not gone and time.monotonic() < end:
        gone += [source.name for source in arrivals.poll().gone]
    assert gone == ["part.nii.gz"] and not arrivals.poll().gone
