"""Which results still have to be sent where: a queue that outlives every process, and sends nothing twice."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from maescan.errors import DataError
from maescan.files import OUTPUT
from maescan.network.store import Store
from maescan.scoring.database import reading

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (destination TEXT, uid TEXT, sha TEXT, path TEXT NOT NULL, sop_class TEXT NOT NULL,
  syntax TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (destination, uid, sha));
CREATE TABLE IF NOT EXISTS destinations (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, due REAL NOT NULL);
"""
FIRST_S, LONGEST_S, JITTER = 5.0, 900.0, 0.2
"""Seconds until a destination that failed is tried again; twice as long each time, one part in five more or less."""


class Result(NamedTuple):
    """A DICOM file of an output folder. path: below that; sha: of the whole file."""

    path: str
    uid: str
    sop_class: str
    syntax: str
    sha: str


class Queue(Store):
    """The queue of an output folder. Raises DataError where it cannot be used."""

    def __init__(self, out: Path):
        remedy = "free space; a damaged queue may be deleted, then all results are sent once more"
        super().__init__(out / OUTPUT / "forward.sqlite", SCHEMA, VERSION, "queue", remedy)

    def add(self, destination: str, results: Iterable[Result]) -> None:
        """Queues results that were not queued for a destination before; waiting ones that are no longer there, as
        the scan was scored anew, go."""
        here = {(result.uid, result.sha): result for result in results}
        known = "SELECT uid, sha, state FROM jobs WHERE destination = ?"
        before = {(uid, sha): state for uid, sha, state in self._all(known, destination)}
        new, gone = (
            here.keys() - before.keys(),
            {key for key, state in before.items() if state != "sent"} - here.keys(),
        )
        if not new and not gone:
            return
        columns = "(destination, uid, sha, path, sop_class, syntax)"
        with self.transaction():
            for uid, sha in gone:
                self._db.execute(
                    "DELETE FROM jobs WHERE destination = ? AND uid = ? AND sha = ?", (destination, uid, sha)
                )
            for key in sorted(new, key=lambda key: here[key].path):
                result = here[key]
                row = (destination, *key, result.path, result.sop_class, result.syntax)
                self._db.execute(f"INSERT INTO jobs {columns} VALUES (?, ?, ?, ?, ?, ?)", row)

    def waiting(self, destination: str) -> list[Result]:
        """What is to be sent to a destination."""
        columns = "path, uid, sop_class, syntax, sha"
        query = f"SELECT {columns} FROM jobs WHERE destination = ? AND state = 'waiting' ORDER BY rowid"
        return [Result(*row) for row in self._all(query, destination)]

    def parked(self, destination: str) -> list[tuple[str, str]]:
        """(path, reason) of what a destination will not take."""
        query = "SELECT path, reason FROM jobs WHERE destination = ? AND state = 'parked' ORDER BY path"
        return [(path, reason) for path, reason in self._all(query, destination)]

    def sent(self, destination: str, result: Result) -> None:
        """Notes that a destination has a result."""
        self._settle(destination, result, "sent", "")

    def park(self, destination: str, result: Result, reason: str) -> None:
        """Notes that a destination will not take a result, however often it is sent."""
        self._settle(destination, result, "parked", reason)

    def _settle(self, destination: str, result: Result, state: str, reason: str) -> None:
        query = "UPDATE jobs SET state = ?, reason = ? WHERE destination = ? AND uid = ? AND sha = ?"
        with self.transaction():
            self._db.execute(query, (state, reason, destination, result.uid, result.sha))

    def again(self, destination: str) -> None:
        """Tries at once, and what was parked too."""
        with self.transaction():
            self._db.execute(
                "UPDATE jobs SET state = 'waiting' WHERE destination = ? AND state = 'parked'", (destination,)
            )
            self._db.execute("DELETE FROM destinations WHERE name = ?", (destination,))

    def due(self, destination: str) -> float:
        """When a destination may be tried (wall clock)."""
        rows = self._all("SELECT due FROM destinations WHERE name = ?", destination)
        return float(rows[0][0]) if rows else 0.0

    def failed(self, destination: str, now: float) -> float:
        """Notes that a destination could not be reached, or is short of room; seconds until it is tried again."""
        rows = self._all("SELECT failures FROM destinations WHERE name = ?", destination)
        failures = int(rows[0][0]) + 1 if rows else 1
        pause = min(FIRST_S * 2.0 ** min(failures - 1, 30), LONGEST_S) * random.uniform(1 - JITTER, 1 + JITTER)
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO destinations VALUES (?, ?, ?)", (destination, failures, now + pause)
            )
        return pause

    def worked(self, destination: str) -> None:
        """Notes that a destination answers."""
        if self.due(destination):
            with self.transaction():
                self._db.execute("DELETE FROM destinations WHERE name = ?", (destination,))


class Results:
    """The DICOM results that an output folder lists. Files that did not change are not read again. damaged: paths of
    those that are not as they were written, which are not sent."""

    def __init__(self, out: Path):
        self._out, self.damaged = out, list[str]()
        self._known: dict[str, tuple[tuple[int, int, int], Result]] = {}

    def listed(self) -> list[Result]:
        """Those that are there, whole. Raises DataError for a folder without a ledger."""
        folder = self._out / OUTPUT
        if not (folder / "ledger.sqlite").is_file():
            raise DataError("holds no results", path=self._out, remedy="give the --out folder of `maescan score`")
        with reading(folder) as db:  # a run may be writing: not a byte of it changes, nor its files
            listed = db.execute("SELECT path, kind, scan FROM outputs WHERE path LIKE '%.dcm' ORDER BY path")
            paths, self.damaged, found = list[str](), list[str](), list[Result]()
            for path, kind, scan in listed.fetchall():
                paths.append(path)
                if result := self._read(path, partial(_written, db, kind, scan)):
                    found.append(result)
        self._known = {path: self._known[path] for path in paths if path in self._known}
        return found

    def _read(self, path: str, written: Callable[[], str | None]) -> Result | None:
        """None for one that is not written yet, or was removed since. written: its hash, where the ledger has it."""
        from pydicom import dcmread

        try:
            with (self._out / path).open("rb") as stream:
                stat = Path(f"/proc/self/fd/{stream.fileno()}").stat()
                key = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if path in self._known and self._known[path][0] == key:
                    return self._known[path][1]
                sha = hashlib.file_digest(stream, "sha256").hexdigest()
                if written() not in (sha, None):
                    self.damaged.append(path)
                    return None
                stream.seek(0)
                header = dcmread(stream, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "SOPClassUID"])
            syntax = str(header.file_meta.TransferSyntaxUID)
            result = Result(path, str(header.SOPInstanceUID), str(header.SOPClassUID), syntax, sha)
        except OSError:
            return None
        except Exception:  # damage, for which pydicom has no common type
            self.damaged.append(path)
            return None
        self._known[path] = (key, result)
        return result


def _written(db: sqlite3.Connection, kind: str, scan: int) -> str | None:
    """The hash that a result was written with. None where its scan is not recorded yet, or by a maescan that kept
    none."""
    row = db.execute("SELECT json_extract(result, '$.dicom.written.' || ?) FROM scans WHERE id = ?", (kind, scan))
    found = row.fetchone()
    return found[0] if found else None
