from __future__ import annotations

import os
import sqlite3
import threading
import time

import pytest

from helpers.scoring_stub import BUNDLE, Engine, files_of, write_scan
from maescan.errors import DataError
from maescan.scoring.database import Database, reading, transaction
from maescan.scoring.ledger import rows_of
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import score_folder


def count(database):
    return database.one("SELECT COUNT(*) FROM outputs")[0]


def add(database, name="x"):
    database.do("INSERT INTO outputs (path, kind, scan, job) VALUES (?, 'map', NULL, 'job')", name)


def test_closed_under_its_readers_it_refuses_them(tmp_path):
    """What an engine's fault does: readers that still ask must not touch a freed connection."""
    for turn in range(20):
        database = Database(tmp_path / str(turn))
        refused = []

        def ask(database=database, refused=refused):
            try:
                while True:
                    count(database)
            except sqlite3.ProgrammingError as error:
                refused.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        database.close()
        for thread in threads:
            thread.join()
        assert len(refused) == 3


def test_a_transaction_is_recorded_whole_or_not_at_all(tmp_path):
    database = Database(tmp_path / "out")
    with pytest.raises(RuntimeError), database.transaction():
        add(database)
        raise RuntimeError
    assert count(database) == 0
    with database.transaction():
        add(database, "a")
        add(database, "b")
    database.close()
    again = Database(tmp_path / "out")
    assert count(again) == 2
    again.close()


def test_a_disk_that_is_full_is_said_and_what_comes_later_is_recorded(tmp_path):
    database = Database(tmp_path / "out")
    (pages,) = database.one("PRAGMA page_count")
    database.all(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DataError, match="is full"), database.transaction():
        for number in range(1000):
            add(database, f"scan{number}")
    database.all("PRAGMA max_page_count = 100000")
    assert count(database) == 0
    add(database)
    database.close()
    again = Database(tmp_path / "out")
    assert count(again) == 1
    again.close()


class Uncommitted(sqlite3.Connection):
    """A connection that cannot commit."""

    def execute(self, query, *values):
        if query == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(query, *values)


def test_what_cannot_be_committed_is_rolled_back(tmp_path):
    db = sqlite3.connect(tmp_path / "db", isolation_level=None, factory=Uncommitted)
    db.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError, match="disk"), transaction(db, threading.RLock()):
        db.execute("INSERT INTO t VALUES (1)")
    assert not db.in_transaction and not db.execute("SELECT * FROM t").fetchall()
    db.close()


def test_one_run_at_a_time(tmp_path):
    database = Database(tmp_path)
    with pytest.raises(DataError, match="another run is writing here"):
        Database(tmp_path)
    database.close()
    Database(tmp_path).close()


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="files that maescan did not write"):
        Database(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_is_no_ledger_or_a_ledger_of_another_version_is_said(tmp_path):
    Database(tmp_path / "a").close()
    file = tmp_path / "a" / ".maescan" / "ledger.sqlite"
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DataError, match=r"a ledger of version 99 .use the maescan that wrote it"):
        Database(tmp_path / "a")


def damaged_ledgers():
    def zeroed_scores(file):
        db = sqlite3.connect(file)
        for name in ("scans_insert", "scans_update"):
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE scans SET scores = zeroblob(length(scores))")
        db.commit()
        db.close()

    def zeroed_page(file):
        content = bytearray(file.read_bytes())
        content[4096:8192] = bytes(4096)
        file.write_bytes(content)

    def cut(file):
        file.write_bytes(file.read_bytes()[:5000])

    def foreign(file):
        file.write_bytes(b"no database, but long enough to be looked at" * 100)

    def older(file):
        db = sqlite3.connect(file)
        db.execute("PRAGMA user_version = 2")
        db.close()

    def lacking(file):
        db = sqlite3.connect(file)
        db.execute("DROP TABLE outputs")
        db.close()

    return [zeroed_scores, zeroed_page, cut, foreign, older, lacking]


@pytest.mark.slow
@pytest.mark.parametrize("harm", damaged_ledgers(), ids=lambda harm: harm.__name__)
def test_a_damaged_or_older_ledger_is_set_aside_and_all_is_scored_again(tmp_path, harm):
    folder, out = tmp_path / "scans", tmp_path / "out"
    for number in range(2):
        write_scan(folder / f"scan{number}.nii.gz", number)
    options = ScoreOptions(maps=True, pictures=1, workers=1)
    score_folder([folder], BUNDLE, Engine(), out, options)
    before = files_of(out)
    (out / "mine.txt").write_text("a note of the user's")
    harm(out / ".maescan" / "ledger.sqlite")
    summary = score_folder([folder], BUNDLE, Engine(), out, options)
    assert summary.skipped == 0 and len(summary.scored) == 2
    assert len(summary.notes) == 1 and "set-aside-1" in summary.notes[0]
    assert (out / "mine.txt").exists()
    after = files_of(out)
    del after["mine.txt"]
    assert {name: content for name, content in after.items() if name != "report.html"} == {
        name: content for name, content in before.items() if name != "report.html"
    }
    aside = out / ".maescan" / "set-aside-1"
    assert (aside / "ledger.sqlite").exists() and (aside / "scans.csv").read_bytes() == before["scans.csv"]
    assert len(list(aside.rglob("*_anomaly.nii.gz"))) == 2
    assert not score_folder([folder], BUNDLE, Engine(), out, options).notes


def test_the_ledger_of_another_folder_is_never_moved(tmp_path):
    score_folder([write_scan(tmp_path / "a.nii.gz", 0)], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(workers=1))
    file = tmp_path / "out" / ".maescan" / "ledger.sqlite"
    file.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(DataError, match="the ledger is damaged"):
        rows_of(tmp_path / "out")
    assert file.exists()


def test_other_programs_cannot_change_a_row_unseen(tmp_path):
    database = Database(tmp_path)
    add(database)
    database.close()
    db = sqlite3.connect(tmp_path / ".maescan" / "ledger.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="checksum"):
        db.execute("UPDATE outputs SET path = '../../thesis.txt'")
    db.close()


def test_what_is_only_read_keeps_every_byte_and_may_lie_on_a_read_only_disk(tmp_path):
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out", ScoreOptions(workers=1))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with reading(tmp_path / "out" / ".maescan") as db:
        assert db.execute("SELECT label FROM scans").fetchall() == [("scan.nii.gz",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM scans")
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_what_a_run_has_not_yet_put_away_is_read_too(tmp_path):
    writing = Database(tmp_path)
    writing.do("INSERT INTO scans (label, folded, identity, place) VALUES ('a', 'a', '', '')")
    with reading(tmp_path / ".maescan") as db:
        assert db.execute("SELECT label FROM scans").fetchall() == [("a",)]
    writing.close()


def test_a_folder_without_scores_is_named_and_stays_empty(tmp_path):
    with pytest.raises(DataError, match="holds no scores"), reading(tmp_path / ".maescan"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_need_not_last_is_not_waited_for(tmp_path):
    """1: written; 2: on the disk, with all that was written before."""
    database = Database(tmp_path)
    with database.transaction(lasting=False):
        add(database)
        assert database.one("PRAGMA synchronous") == (1,)
    with reading(tmp_path / ".maescan") as db:
        assert db.execute("SELECT COUNT(*) FROM outputs").fetchone() == (1,)
    with pytest.raises(KeyError), database.transaction(lasting=False):
        raise KeyError
    assert database.one("PRAGMA synchronous") == (2,)
    with database.transaction(), database.transaction(lasting=False):
        assert database.one("PRAGMA synchronous") == (2,)
    database.close()


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_a_copy_of_names_alone_stays_as_it_is(tmp_path, how):
    """As of `cp -al` and `cp -as`: what is scored into one of both is not in the other's ledger."""
    write_scan(tmp_path / "scans" / "a.nii.gz", seed=1)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "out")
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        copy = tmp_path / "copy" / file.relative_to(tmp_path / "out")
        copy.parent.mkdir(parents=True, exist_ok=True)
        how(file, copy)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    write_scan(tmp_path / "scans" / "b.nii.gz", seed=2)
    score_folder([tmp_path / "scans"], BUNDLE, Engine(), tmp_path / "copy")
    assert {path: path.read_bytes() for path in before} == before
    assert [row.label for row in rows_of(tmp_path / "out")] == ["a.nii.gz"]
    assert [row.label for row in rows_of(tmp_path / "copy")] == ["a.nii.gz", "b.nii.gz"]
