from __future__ import annotations

import errno
import shutil
import sqlite3
import threading

import pytest

from helpers.scoring_stub import BUNDLE, Engine, write_scan
from maescan.errors import DataError
from maescan.files import claim
from maescan.scoring import room
from maescan.scoring.database import Database, GoneError
from maescan.scoring.ledger import Ledger
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.watch import Inbox, watch_folder


class Watching:
    """A watch in a thread: `events` are what it told, `error` is what ended it."""

    def __init__(self, inbox, out):
        self.events, self.error, self.news = [], None, threading.Condition()
        self.inbox = Inbox(inbox, WatchOptions(settle_s=0.1, poll_s=0.05))
        self.thread = threading.Thread(target=self.run, args=(out,))
        self.thread.start()

    def run(self, out):
        try:
            watch_folder(self.inbox, BUNDLE, Engine(), out, ScoreOptions(workers=2, pictures=0), self.hear)
        except BaseException as error:
            self.error = error

    def hear(self, name, facts):
        with self.news:
            self.events.append((name, facts))
            self.news.notify_all()

    def until(self, name, count=1):
        with self.news:
            found = self.news.wait_for(lambda: [told for told, _ in self.events].count(name) >= count, 60)
            assert found, (self.events, self.error)

    def end(self):
        self.inbox.stop.set()
        self.thread.join(60)
        return self.error


@pytest.fixture
def inbox(tmp_path):
    for number in range(3):
        write_scan(tmp_path / "inbox" / f"scan{number}.nii.gz", number)
    return tmp_path / "inbox"


def full(*_):
    raise DataError("cannot write") from OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
def test_a_watch_waits_while_its_disk_is_full_and_goes_on(tmp_path, inbox, monkeypatch):
    add, out, space = Ledger.add, tmp_path / "out", threading.Event()
    monkeypatch.setattr(Ledger, "add", lambda *values: add(*values) if space.is_set() else full())
    monkeypatch.setattr(room, "has_room", lambda _: space.is_set())
    monkeypatch.setattr(room, "LOOK_S", 0.05)
    watching = Watching(inbox, out)
    watching.until("full")
    space.set()
    watching.until("scored", 3)
    assert watching.end() is None
    assert len((out / "scans.csv").read_text().splitlines()) == 4
    assert [name for name, _ in watching.events].count("full") == 1


@pytest.mark.slow
def test_one_that_starts_on_a_full_disk_waits_too(tmp_path, inbox, monkeypatch):
    """As after a reboot, when nobody is there to start it again; a new folder says at once what is wrong."""
    out, tried = tmp_path / "out", []

    def refusal(_):
        tried.append(1)
        return OSError(errno.ENOSPC, "full") if len(tried) < 4 else None

    monkeypatch.setattr(room, "refusal", refusal)
    monkeypatch.setattr(room, "LOOK_S", 0.05)
    Database(out).close()
    watching = Watching(inbox, out)
    watching.until("scored", 3)
    assert watching.end() is None and watching.events[0][0] == "full" and len(tried) == 4
    assert f"free space, or see to the disk of {out}: once it takes 16 MB" in watching.events[0][1]["remedy"]
    room.await_room(tmp_path / "new", watching.hear, threading.Event())
    assert len(tried) == 4


@pytest.mark.slow
def test_told_to_stop_while_the_disk_is_full_it_ends_with_the_reason(tmp_path, inbox, monkeypatch):
    monkeypatch.setattr(Ledger, "add", full)
    monkeypatch.setattr(room, "has_room", lambda _: False)
    watching = Watching(inbox, tmp_path / "out")
    watching.until("full")
    assert "cannot write" in str(watching.end())


@pytest.mark.slow
def test_a_watch_ends_where_its_folder_is_moved_away_and_makes_no_other(tmp_path, inbox):
    out = tmp_path / "out"
    watching = Watching(inbox, out)
    watching.until("scored", 3)
    out.rename(tmp_path / "november")
    watching.thread.join(60)
    assert isinstance(watching.error, GoneError) and not out.exists()


def test_a_folder_that_another_took_the_place_of_is_gone(tmp_path):
    first = Database(tmp_path / "out")
    first.check_there()
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(GoneError, match="moved or removed"):
        first.check_there()
    Database(tmp_path / "out").close()
    with pytest.raises(GoneError, match="put it back, or make a new one"):
        first.check_there()
    first.close()


def test_what_a_full_disk_is():
    assert room.is_full(OSError(errno.EDQUOT, "quota")) and not room.is_full(OSError(errno.EACCES, "permissions"))
    with pytest.raises(DataError) as caught:
        full()
    assert room.is_full(caught.value) and not room.is_full(DataError("cannot write")) and not room.is_full(None)
    with pytest.raises(sqlite3.OperationalError) as refused:
        db = sqlite3.connect(":memory:")
        db.execute("PRAGMA max_page_count = 1")
        db.execute("CREATE TABLE scans (id)")
    assert room.is_full(refused.value)


def test_room_is_tried_by_writing_and_nothing_is_left_of_it(tmp_path):
    claim(tmp_path, "scores")
    assert room.has_room(tmp_path) and [path.name for path in (tmp_path / ".maescan").iterdir()] == ["kind"]
    shutil.rmtree(tmp_path / ".maescan")
    (tmp_path / ".maescan").write_text("no folder")
    assert not room.has_room(tmp_path)


def test_a_folder_that_is_gone_is_not_made_anew_by_who_looks_for_room(tmp_path):
    error, told = OSError(errno.ENOSPC, "full"), []
    assert not room.has_room(tmp_path / "out") and not (tmp_path / "out").exists()
    with pytest.raises(GoneError, match="moved or removed"):
        room.waited(tmp_path / "out", error, lambda *event: told.append(event), threading.Event())
    assert not told and not (tmp_path / "out").exists()


def test_other_errors_are_not_waited_for(tmp_path):
    claim(tmp_path, "scores")
    told = []
    assert not room.waited(tmp_path, DataError("is no ledger"), lambda *event: told.append(event), threading.Event())
    assert not told
