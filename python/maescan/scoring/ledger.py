"""What an output folder already holds: one SQLite file (WAL), one row a scan, keyed by content and options."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import DataError


class Ledger:
    """The results of a folder of scans. A second run on the same output folder is refused while one is under way."""

    def __init__(self, out: Path, job: str):
        """`job`: hash of bundle and options; rows of another job are not reused. Raises DataError."""
        self.folder = out / ".maescan"
        self.job = job
        self._mutex = threading.Lock()  # readers, writer and close() share one connection
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115
        except OSError as error:
            raise DataError(
                f"cannot write: {error.strerror}", path=out, remedy="use another --out or change its permissions"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise DataError(
                "another run is writing here", path=out, remedy="wait for it or use another --out"
            ) from error
        self._connect()

    def _connect(self) -> None:
        path = self.folder / "ledger.sqlite"
        try:
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute(
                "CREATE TABLE IF NOT EXISTS scans (name TEXT PRIMARY KEY, job TEXT, content TEXT, scores BLOB,"
                " areas BLOB, result TEXT)"
            )
        except sqlite3.Error as error:
            self._lock.close()
            damaged = error.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT")
            remedy = "delete it to score anew" if damaged else "free space or use another --out"
            raise DataError(f"the ledger is unusable: {error}", path=path, remedy=remedy) from error

    def done(self, name: str, content: str) -> bool:
        """Whether this very scan was scored by this very job."""
        with self._mutex:
            row = self.db.execute("SELECT job, content FROM scans WHERE name = ?", (name,)).fetchone()
        return row == (self.job, content)

    def add(self, name: str, content: str, scores: np.ndarray, areas: np.ndarray, result: dict[str, Any]) -> None:
        """Records a finished scan: slice scores [S], foreground areas [S] (share of the slice), and its summary."""
        blobs = [np.asarray(values, dtype="<f4").tobytes() for values in (scores, areas)]
        row = (name, self.job, content, *blobs, json.dumps(result, sort_keys=True))
        try:
            with self._mutex:
                self.db.execute("INSERT OR REPLACE INTO scans VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise DataError(
                f"cannot record a result: {error}", path=self.folder, remedy="free space, then run again"
            ) from error

    def results(self, names: list[str]) -> list[tuple[str, np.ndarray, np.ndarray, dict[str, Any]]]:
        """(name, scores [S], areas [S], summary) of this job's finished scans among `names`, in that order."""
        rows = {}
        for name, scores, areas, result in self.db.execute(
            "SELECT name, scores, areas, result FROM scans WHERE job = ?", (self.job,)
        ):
            rows[name] = (name, np.frombuffer(scores, "<f4"), np.frombuffer(areas, "<f4"), json.loads(result))
        return [rows[name] for name in names if name in rows]

    def names(self) -> list[str]:
        """This job's finished scans, ordered."""
        rows = self.db.execute("SELECT name FROM scans WHERE job = ?", (self.job,))
        return sorted(name for (name,) in rows)

    def take(self, other: Path) -> None:
        """Adds the rows of another output folder's ledger. Raises DataError."""
        try:
            theirs = sqlite3.connect(other / ".maescan" / "ledger.sqlite")
            rows = theirs.execute("SELECT name, job, content, scores, areas, result FROM scans").fetchall()
            theirs.close()
            self.db.executemany("INSERT OR REPLACE INTO scans VALUES (?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise DataError(f"its results cannot be taken: {error}", path=other, remedy="score it again") from error

    def close(self) -> None:
        with self._mutex:
            self.db.close()
        self._lock.close()
