"""The SQLite file of an output folder: locked for one run, transactions that say what went wrong in one line."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maescan.errors import DataError, short_of
from maescan.files import OUTPUT, claim
from maescan.folders import LOCK, lock, make_own
from maescan.scoring.integrity import fault_of, register, set_aside, triggers

VERSION = 4
NEWER = "use the maescan that wrote it, or another --out"
SCHEMA = """
CREATE TABLE IF NOT EXISTS scans (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, folded TEXT NOT NULL,
  identity TEXT NOT NULL, place BLOB NOT NULL, content TEXT, job TEXT, scores BLOB, areas BLOB, result TEXT,
  failure TEXT, checksum TEXT);
CREATE INDEX IF NOT EXISTS scans_identity ON scans (identity);
CREATE INDEX IF NOT EXISTS scans_place ON scans (place);
CREATE INDEX IF NOT EXISTS scans_folded ON scans (folded);
CREATE TABLE IF NOT EXISTS outputs (path TEXT PRIMARY KEY, kind TEXT NOT NULL, scan INTEGER, job TEXT NOT NULL,
  checksum TEXT);
CREATE TABLE IF NOT EXISTS told (scan INTEGER PRIMARY KEY, what TEXT);
"""

DAMAGED = (
    "SQLITE_NOTADB",
    "SQLITE_CORRUPT",
    "SQLITE_CORRUPT_INDEX",
    "SQLITE_CORRUPT_VTAB",
    "SQLITE_FORMAT",
    "SQLITE_ERROR",
)
"""What SQLite calls a file that is none of its own, is damaged, or lacks a table."""


class DamagedError(DataError):
    """A ledger that is not as maescan wrote it, or of an older maescan."""


class GoneError(DataError):
    """A folder that was moved or removed while a run wrote into it: what came next would lie in a new one, without
    its ledger and open to all."""


def gone(out: Path) -> GoneError:
    """What is said of such a folder."""
    remedy = "put it back, or make a new one, and run again"
    return GoneError("was moved or removed while it was written into", path=out, remedy=remedy)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, mutex: threading.RLock) -> Iterator[None]:
    """What is changed inside is recorded as one, or not at all, also where recording it fails; inside another one it
    is part of that. Threads that share the connection wait at its mutex. Raises sqlite3.Error."""
    with mutex:
        if db.in_transaction:
            yield
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise


class Database:
    """One connection for all threads. A second run on the same folder is refused while one is under way."""

    def __init__(self, out: Path, kind: str = "scores"):
        """kind: see `files.claim`. Raises DataError, also for a folder that holds anything else."""
        self.folder = out / OUTPUT
        self._mutex, self.notes = threading.RLock(), list[str]()
        claim(out, kind)
        self._lock = lock(out)
        try:
            self._db = self._connect(out)
        except BaseException:
            self._lock.close()
            raise

    def check_there(self) -> None:
        """Raises GoneError where the folder that was taken is no longer the one of its name."""
        try:
            found = (self.folder.parent / LOCK).stat()
        except FileNotFoundError:
            found = None
        except OSError:  # a share that does not answer for a moment
            return
        if found is None or not os.path.samestat(found, os.fstat(self._lock.fileno())):
            raise gone(self.folder.parent)

    def _connect(self, out: Path) -> sqlite3.Connection:
        """The ledger; one that is damaged or older is set aside, which `notes` say, and a new one is begun."""
        try:
            return connect(self.folder)
        except DamagedError as error:
            aside = set_aside(out)
            self.notes.append(
                f"{error.reason}: it and what was written with it lie in {aside}; scans are scored again"
            )
            return connect(self.folder)

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
    def transaction(self, *, lasting: bool = True) -> Iterator[None]:
        """What is changed inside is recorded as one, or not at all; other threads wait. lasting: until it is on the
        disk; else a kill loses nothing, but a power cut what no lasting one came after."""
        try:
            with self._mutex:
                hasty = not lasting and not self._db.in_transaction
                if hasty:
                    self._db.execute("PRAGMA synchronous = NORMAL")
                try:
                    with transaction(self._db, self._mutex):
                        yield
                finally:
                    if hasty:
                        self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.OperationalError as error:
            remedy = f"free {short_of(self.folder)}; then run again"
            raise DataError(f"cannot record a result: {error}", path=self.folder, remedy=remedy) from error

    def close(self) -> None:
        """Frees the folder for other runs."""
        with self._mutex:
            self._db.close()
        self._lock.close()


def connect(folder: Path) -> sqlite3.Connection:
    """The database of an output folder, made where there is none. Raises DataError: of another version, damaged, with
    rows that are not as they were written."""
    path = folder / "ledger.sqlite"
    for file in (path.with_name(f"{path.name}-wal"), path):
        make_own(file)
    with _said(path):
        db = _connected(path)
        _check(db, path)
        # as one: a kill between the tables and the version would leave a ledger that every later run refuses
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {triggers()} PRAGMA user_version = {VERSION}; COMMIT;")
    return db


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database of an output folder that is only read: not a byte of it changes, and its disk may be read-only.
    Raises DataError as `connect` does, and where there is none."""
    path = folder / "ledger.sqlite"
    if not path.is_file():
        raise DataError("holds no scores", path=folder.parent, remedy="name an --out of `maescan score`")
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"  # no run writes, or was killed
    with (
        _said(path),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True)) as db,
    ):
        register(db)
        _check(db, path)
        yield db


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") in DAMAGED:
            raise DamagedError(f"the ledger is damaged: {error}", path=path, remedy="use another --out") from error
        remedy = f"free {short_of(path)}; then run again, or use another --out"
        raise DataError(f"the ledger is unusable: {error}", path=path, remedy=remedy) from error


def _check(db: sqlite3.Connection, path: Path) -> None:
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        return
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        db.close()
        raise DataError(f"is a ledger of version {version}", path=path, remedy=NEWER)
    if fault := fault_of(db, VERSION):
        db.close()
        raise DamagedError(f"the ledger {fault}", path=path, remedy="use another --out")


def _connected(path: Path) -> sqlite3.Connection:
    """Nobody but who may read OUT may read it: SQLite's files have the mode of the first of them."""
    with contextlib.suppress(OSError):  # SQLite says it better
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666 & path.parent.parent.stat().st_mode))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    register(db)
    db.execute("PRAGMA trusted_schema = ON")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db
