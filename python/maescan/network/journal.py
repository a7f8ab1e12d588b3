"""What the spool knows: every instance that was acknowledged, and how far each series has come.

The files are what is promised; the journal is found again from them where it is lost. Times are wall clock seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from maescan.network.store import Store

VERSION = 1
CLOCK_S = 60.0
"""Who was last heard of so long after now was heard before the clock was put back."""
OLD = (
    "version = done AND last < ? AND key NOT IN (SELECT series FROM sending)"
    " AND key IN (SELECT series FROM instances WHERE removed = 0)"
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS instances (path TEXT PRIMARY KEY, uid TEXT NOT NULL, series TEXT NOT NULL,
  sop_class TEXT NOT NULL, sha BLOB NOT NULL, size INTEGER NOT NULL, conflict TEXT,
  removed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS instances_uid ON instances (uid);
CREATE INDEX IF NOT EXISTS instances_series ON instances (series);
CREATE TABLE IF NOT EXISTS series (key TEXT PRIMARY KEY, last REAL NOT NULL, aborted INTEGER NOT NULL DEFAULT 0,
  version INTEGER NOT NULL DEFAULT 0, given INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS sending (association TEXT, series TEXT, PRIMARY KEY (association, series));
CREATE TABLE IF NOT EXISTS beside (association TEXT, series TEXT, PRIMARY KEY (association, series));
CREATE TABLE IF NOT EXISTS sent (association TEXT, series TEXT, again TEXT, PRIMARY KEY (association, series, again));
"""
"""beside: associations that were sending a series when another one of it broke off, and so do not mend that. sent:
what each brought, again the path of an instance that was here before, "" for new ones."""
MENDS = (
    "(EXISTS (SELECT 1 FROM sent WHERE association = :a AND series = key AND again = '') OR NOT EXISTS"
    " (SELECT 1 FROM instances WHERE series = key AND removed = 0 AND conflict IS NULL"
    " AND path NOT IN (SELECT again FROM sent WHERE association = :a)))"
)
"""Whether an association makes up for one that broke off: it brought what was missing, or all that there is."""


class Stored(NamedTuple):
    """One instance. path: below the spool's folder; series: the folder that it lies in; sha: of its data set;
    conflict: the path of the instance of this series that is scored, under the same UID with other content: the first
    that came, or the first with all of its pixels."""

    path: str
    uid: str
    series: str
    sop_class: str
    sha: bytes
    size: int
    conflict: str | None = None
    removed: int = 0


class Series(NamedTuple):
    """A series that is to be scored. key: its folder below the spool's; aborted: its sender broke off."""

    key: str
    last: float
    aborted: bool
    version: int


class Journal(Store):
    """The journal of a spool's folder. Raises DataError where it cannot be used."""

    def __init__(self, folder: Path):
        remedy = "free space; a damaged journal may be deleted: it is made anew from the files beside it"
        super().__init__(folder / "journal.sqlite", SCHEMA, VERSION, "journal", remedy)

    def of_uid(self, uid: str) -> list[Stored]:
        """Instances of a UID, the first that came first."""
        return [Stored(*row) for row in self._all("SELECT * FROM instances WHERE uid = ? ORDER BY rowid", uid)]

    def of_series(self, key: str) -> list[Stored]:
        """Instances of a series, removed ones too."""
        return [Stored(*row) for row in self._all("SELECT * FROM instances WHERE series = ? ORDER BY path", key)]

    def paths(self) -> set[str]:
        """Of all instances."""
        return {path for (path,) in self._all("SELECT path FROM instances")}

    def add(self, stored: Stored, now: float) -> None:
        """Records an instance; its series has news."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?, ?, ?, ?, ?)", stored)
            self._db.execute("INSERT OR IGNORE INTO series (key, last) VALUES (?, ?)", (stored.series, now))
            self._db.execute("UPDATE series SET version = version + 1, last = ? WHERE key = ?", (now, stored.series))

    def gives_way(self, path: str, to: str) -> None:
        """Notes that an instance is scored no more: another of its UID is."""
        with self.transaction():
            self._db.execute("UPDATE instances SET conflict = ? WHERE path = ?", (to, path))

    def sends(self, association: str, series: str, now: float, again: str = "") -> None:
        """Notes that an association is sending a series. again: the path of the instance that was here before."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO sent VALUES (?, ?, ?)", (association, series, again))
            self._db.execute("INSERT OR IGNORE INTO sending VALUES (?, ?)", (association, series))
            self._db.execute("UPDATE series SET last = ? WHERE key = ?", (now, series))

    def ended(self, association: str, now: float, *, aborted: bool) -> None:
        """Notes how an association came to its end. One that broke off is made up for by a later one alone, which
        brings what was missing, or all of it again: that is news."""
        series = "SELECT series FROM sending WHERE association = :a"
        beside = "key IN (SELECT series FROM beside WHERE association = :a)"
        broken = f"(:aborted OR aborted AND ({beside} OR NOT {MENDS}))"
        change = f"aborted = {broken}, version = version + (aborted AND NOT {broken} AND version = done), last = :now"
        values = {"a": association, "aborted": aborted, "now": now}
        with self.transaction():
            self._db.execute(f"UPDATE series SET {change} WHERE key IN ({series})", values)
            self._db.execute("DELETE FROM sent WHERE association = :a", values)
            self._db.execute("DELETE FROM beside WHERE association = :a", values)
            if aborted:
                others = f"SELECT * FROM sending WHERE association != :a AND series IN ({series})"
                self._db.execute(f"INSERT OR IGNORE INTO beside {others}", values)
            self._db.execute("DELETE FROM sending WHERE association = :a", values)

    def restarted(self, now: float) -> None:
        """Associations of a receiver that is no more have broken off; clocks may have changed."""
        query = "UPDATE series SET aborted = 1 WHERE key IN (SELECT series FROM sending)"
        with self.transaction():
            self._db.execute(query)
            self._db.execute("DELETE FROM sending")
            self._db.execute("DELETE FROM beside")
            self._db.execute("DELETE FROM sent")
            self._db.execute("UPDATE series SET last = ? WHERE version > done", (now,))

    def unfinished(self) -> None:
        """Series that were given to a scorer that is no more are to be given again."""
        with self.transaction():
            self._db.execute("UPDATE series SET given = done")

    def ready(self, now: float, settle: float, aborted_wait: float) -> list[Series]:
        """Series that have come to rest, have news, and are not being scored."""
        rows = self._all(
            "SELECT key, last, aborted, version FROM series WHERE version > done AND given = done"
            " AND key NOT IN (SELECT series FROM sending)"
            " AND (last + CASE aborted WHEN 0 THEN ? ELSE ? END <= ? OR last > ?) ORDER BY last",
            *(settle, aborted_wait, now, now + CLOCK_S),
        )
        return [Series(key, last, bool(aborted), version) for key, last, aborted, version in rows]

    def waiting(self) -> list[str]:
        """Keys of series that are not scored yet, or have news."""
        return [key for (key,) in self._all("SELECT key FROM series WHERE version > done ORDER BY key")]

    def give(self, series: Series) -> None:
        """Notes that a series is being scored."""
        with self.transaction():
            self._db.execute("UPDATE series SET given = ? WHERE key = ?", (series.version, series.key))

    def done(self, key: str) -> None:
        """Notes that a series, as it was given, was scored or has failed."""
        with self.transaction():
            self._db.execute("UPDATE series SET done = given WHERE key = ?", (key,))

    def kept_since(self, before: float) -> list[str]:
        """Keys of series that are done, came to rest before a time, and have files."""
        return [key for (key,) in self._all(f"SELECT key FROM series WHERE {OLD} ORDER BY last", before)]

    def is_old(self, key: str, before: float) -> bool:
        """Whether a series is one of `kept_since`."""
        return bool(self._all(f"SELECT 1 FROM series WHERE {OLD} AND key = ?", before, key))

    def gone(self) -> set[str]:
        """Paths of instances that were removed."""
        return {path for (path,) in self._all("SELECT path FROM instances WHERE removed = 1")}

    def removed(self, key: str) -> None:
        """Notes that the files of a series were removed."""
        with self.transaction():
            self._db.execute("UPDATE instances SET removed = 1 WHERE series = ?", (key,))
