"""A database that the threads of a process and several processes share: what the network's parts know for good."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from maescan.errors import DataError, short_of, typed
from maescan.scoring.database import DAMAGED, NEWER, transaction


class Store:
    """One connection for all threads of a process; processes take turns. name: what it is called in errors; remedy:
    what may be done where it is damaged. Raises DataError where it cannot be used, or is of another version."""

    def __init__(self, path: Path, schema: str, version: int, name: str, remedy: str) -> None:
        self.path = path
        self._mutex = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, version):
                raise DataError(f"is a {name} of version {found}", path=path, remedy=NEWER)
            self._db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {version}; COMMIT;")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") not in DAMAGED:  # nothing that deleting it would mend
                remedy = f"free {short_of(path)}, or see who may write there: namei -l {typed(path.parent)}"
            raise DataError(f"the {name} is unusable: {error}", path=path, remedy=remedy) from error

    def transaction(self) -> AbstractContextManager[None]:
        """What is changed inside is recorded as one, or not at all. Raises sqlite3.Error."""
        return transaction(self._db, self._mutex)

    def _all(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._mutex:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Closes the connection."""
        with self._mutex:
            self._db.close()
