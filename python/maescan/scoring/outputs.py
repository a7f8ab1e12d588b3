"""The files that were written into an output folder, listed before they are written: only they are ever removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from maescan.decimals import counted
from maescan.errors import DataError, ScanError
from maescan.files import OUTPUT
from maescan.results.paths import PLACES
from maescan.scoring.database import reading
from maescan.scoring.ledger import Known, Ledger


class Outputs:
    """The outputs of a ledger's folder: maps and pictures of scans ("map", "picture"), and tables by their name."""

    def __init__(self, ledger: Ledger):
        self.ledger, self.db, self.out = ledger, ledger.db, ledger.out

    def path(self, kind: str, known: Known | None = None) -> Path:
        """Where an output goes; it is listed. Raises ScanError where a file lies that maescan did not write,
        GoneError where the folder is no longer there."""
        self.db.check_there()
        path = self.place(kind, known) if known else self.out / kind
        row = (self._name(path), kind, known.id if known else None, self.ledger.job)
        with self.db.transaction():
            listed = self.db.one("SELECT path, kind, scan, job FROM outputs WHERE path = ?", row[0])
            if listed is None and os.path.lexists(path):
                raise ScanError("was not written by maescan", path=path, remedy="move it out of the output folder")
            if listed != row:
                self.db.do("INSERT OR REPLACE INTO outputs (path, kind, scan, job) VALUES (?, ?, ?, ?)", *row)
        return path

    def place(self, kind: str, known: Known) -> Path:
        """Where a scan's output of this kind lies."""
        return PLACES[kind](self.out, known.label, clash=self.ledger.shares_label(known.label))

    def has(self, kind: str, known: Known) -> bool:
        """Whether a scan's output of this job is there."""
        path = self.place(kind, known)
        row = self.db.one("SELECT 1 FROM outputs WHERE path = ? AND job = ?", self._name(path), self.ledger.job)
        return row is not None and path.is_file()

    def lost(self, kind: str, known: Known) -> bool:
        """Whether a scan's output was written and is there no longer."""
        path = self.place(kind, known)
        return not path.is_file() and bool(self.db.one("SELECT 1 FROM outputs WHERE path = ?", self._name(path)))

    def of(self, kind: str) -> dict[str, Path]:
        """This job's outputs of a kind, by the label of their scan."""
        found = self.db.all(
            "SELECT label, path FROM outputs JOIN scans ON scan = scans.id WHERE kind = ? AND outputs.job = ?"
            " ORDER BY label",
            *(kind, self.ledger.job),
        )
        return {label: self.out / path for label, path in found}

    def replaced(self) -> str:
        """One line about what of other jobs this one will take the place of; "" where that is nothing: the tables
        are of this job already, whatever the ledger knows of others."""
        if self.db.one("SELECT 1 FROM outputs WHERE path = 'scans.csv' AND job = ?", self.ledger.job):
            return ""
        scans = self.ledger.of_other_jobs()
        listed = self.db.all("SELECT path FROM outputs WHERE kind = 'map' AND job <> ?", self.ledger.job)
        maps = sum((self.out / path).is_file() for (path,) in listed)
        if not (scans or maps):
            return ""
        others = counted(scans, "scan that was", "scans that were")
        before = f"holds {others} scored with another bundle, engine or options of reading"
        then = "this run takes their place in the tables" + (
            f", and {counted(maps, 'map of them goes', 'maps of them go')}" if maps else ""
        )
        return f"{before}: {then}; to keep them, stop it now and use another --out"

    def drop(self, path: Path) -> None:
        """Removes an output that is listed, and its folder where that is empty then."""
        with self.db.transaction(), _said(self.out):
            if self.db.do("DELETE FROM outputs WHERE path = ?", self._name(path)).rowcount:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # other files are in it
                    path.parent.rmdir()

    def tidy(self) -> int:
        """Removes the outputs of other jobs and of scans without scores; renames those whose scan has come to share
        its label with another, letter case aside. Returns how many maps of other jobs went."""
        found = self.db.all(
            "SELECT path, kind, label, scans.job = ? AND outputs.job = ?, outputs.job <> ? FROM outputs"
            " LEFT JOIN scans ON scan = scans.id",
            *[self.ledger.job] * 3,
        )
        went = 0
        for name, kind, label, current, of_others in found:
            if kind in PLACES and current:
                self._rename(self.out / name, kind, self.ledger.known(label))
            elif kind in PLACES:
                went += kind == "map" and of_others and (self.out / name).is_file()
                self.drop(self.out / name)
        return went

    def keep(self, tables: Collection[str]) -> None:
        """Removes the tables that this run did not write."""
        for (name,) in self.db.all("SELECT path FROM outputs WHERE scan IS NULL"):
            if name not in tables:
                self.drop(self.out / name)

    def _rename(self, path: Path, kind: str, known: Known) -> None:
        right = self.place(kind, known)
        if right != path and path.exists():
            self.path(kind, known)
            with _said(self.out):
                right.parent.mkdir(parents=True, exist_ok=True)
                path.replace(right)
            self.drop(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.out).as_posix()


def outputs_of(folder: Path, job: str) -> list[tuple[str, str, Path]]:
    """(kind, label, path) of the outputs of a job's scans in another output folder."""
    with reading(folder / OUTPUT) as db:
        found = db.execute(
            "SELECT kind, label, path FROM outputs JOIN scans ON scan = scans.id"
            " WHERE outputs.job = ? AND scans.job = ? ORDER BY label",
            (job, job),
        ).fetchall()
    return [(kind, label, folder / path) for kind, label, path in found]


@contextlib.contextmanager
def _said(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=out, remedy="use another --out") from error
