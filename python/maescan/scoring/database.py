"""The SQLite file of an output folder: locked for one run, transactions that say what went wrong in one line."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maescan.errors import DataError
from maescan.files import OUTPUT, claim

VERSION = 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS scans (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, folded TEXT NOT NULL,
  identity TEXT NOT NULL, place BLOB NOT NULL, content TEXT, job TEXT, scores BLOB, areas BLOB, result TEXT,
  failure TEXT);
CREATE INDEX IF NOT EXISTS scans_identity ON scans (identity);
CREATE INDEX IF NOT EXISTS scans_place ON scans (place);
CREATE INDEX IF NOT EXISTS scans_folded ON scans (folded);
CREATE TABLE IF NOT EXISTS outputs (path TEXT PRIMARY KEY, kind TEXT NOT NULL, scan INTEGER, job TEXT NOT NULL);
"""


class Database:
    """One connection for all threads. A second run on the same folder is refused while one is under way."""

    def __init__(self, out: Path):
        """Raises DataError, also for a folder that holds what maescan did not write."""
        self.folder = out / OUTPUT
        self._mutex = threading.RLock()
        claim(out, "scores")
        try:
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            remedy = "use another --out or change its permissions"
            raise DataError(f"cannot write: {error.strerror}", path=out, remedy=remedy) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db = connect(self.folder)
        except OSError as error:
            self._lock.close()
            remedy = "wait for it or use another --out"
            raise DataError("another run is writing here", path=out, remedy=remedy) from error
        except DataError:
            self._lock.close()
            raise

    def all(self, query: str, *values: object) -> list[Any]:
        """The rows of a query."""
        with self._mutex:
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        """The first row of a query, or None."""
        with self._mutex:
            return self._db.execute(query, values).fetchone()

    def do(self, query: str, *values: object) -> sqlite3.Cursor:
        """A change, at once or with the transaction around it. Raises DataError where it cannot be recorded."""
        with self.transaction():
            return self._db.execute(query, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is changed inside is recorded as one, or not at all; other threads wait."""
        with self._mutex:
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                remedy = "free space, then run again"
                raise DataError(f"cannot record a result: {error}", path=self.folder, remedy=remedy) from error

    def close(self) -> None:
        """Frees the folder for other runs."""
        with self._mutex:
            self._db.close()
        self._lock.close()


def connect(folder: Path) -> sqlite3.Connection:
    """The database of an output folder, made where there is none. Raises DataError."""
    path = folder / "ledger.sqlite"
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION) or (version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone()):
            db.close()
            raise DataError(f"is a ledger of version {version}", path=path, remedy="use another --out")
        # as one: a kill between the tables and the version would leave a ledger that every later run refuses
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.Error as error:
        damaged = error.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT")
        remedy = "use another --out" if damaged else "free space or use another --out"
        raise DataError(f"the ledger is unusable: {error}", path=path, remedy=remedy) from error
    return db
