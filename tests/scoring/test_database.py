from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from maescan.errors import DataError
from maescan.scoring.database import Database


def count(database):
    return database.one("SELECT COUNT(*) FROM outputs")[0]


def add(database, name="x"):
    database.do("INSERT INTO outputs VALUES (?, 'map', NULL, 'job')", name)


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
    with pytest.raises(DataError, match="a ledger of version 99"):
        Database(tmp_path / "a")
    file.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(DataError, match="the ledger is unusable"):
        Database(tmp_path / "a")
