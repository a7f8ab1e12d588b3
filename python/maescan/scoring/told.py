"""Which alerts were passed on: each of an output folder once, whatever is killed or scored again."""

from __future__ import annotations

from collections.abc import Collection

from maescan.scoring.ledger import Ledger

VERDICT = "job || ':' || content"
"""What an alert is of: these bytes, scored so. Scored again, for maps say, they give the same alert."""


class Told:
    """The alerts of a ledger's scans."""

    def __init__(self, ledger: Ledger):
        self._db, self._job = ledger.db, ledger.job

    def owed(self, labels: Collection[str]) -> list[str]:
        """Which of these scans nobody was told of as they are scored now, in order."""
        rows = self._db.all(
            f"SELECT label FROM scans LEFT JOIN told ON scan = id WHERE job = ? AND what IS NOT {VERDICT}", self._job
        )
        return sorted(set(labels).intersection(label for (label,) in rows))

    def add(self, labels: Collection[str]) -> None:
        """Says that of these somebody was told. Raises DataError where it cannot be recorded."""
        with self._db.transaction():
            for label in labels:
                query = f"INSERT OR REPLACE INTO told SELECT id, {VERDICT} FROM scans WHERE label = ? AND job = ?"
                self._db.do(query, label, self._job)
