"""What an output folder knows: every scan by what it is, its scores, and every file that was written of it.

A scan is its series (patient, study, series, frame of reference) or, of other files, its content; its label is what
it was called when it first came, and stays. A row has scores, or the reason why there are none, or neither yet; both
where what was scored could not be read again.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maescan.config.types import Json
from maescan.errors import DataError
from maescan.files import OUTPUT, short_hash
from maescan.records import Kind, Record, decode
from maescan.results.rows import DicomRecord, Failure, ScanRow
from maescan.scans.labels import folder_of, hashed_label, longer_labels
from maescan.scans.source import ScanSource
from maescan.scoring.database import NEWER, Database, reading
from maescan.scoring.names import PLAIN, Names
from maescan.scoring.places import around, goes_on, place_of
from maescan.scoring.presence import Presence

RUN = 2**32
"""A scan's number tells when it came: so many are left to each run, in the order of its search."""
COLUMNS = "label, folded, identity, place, content, job, scores, areas, result, failure"


class Known(NamedTuple):
    """A scan's row. scored: whether these very bytes were scored by this job; unread: what they are is not known."""

    id: int
    label: str
    scored: bool
    unread: bool = False


class Ledger:
    """The scans of an output folder. A second run on the same folder is refused while one is under way."""

    def __init__(self, out: Path, job: str, names: Names = PLAIN, *, kind: str = ""):
        """job: hash of all that decides a score; rows of another job are not reused. kind: the folder's, where
        `names` do not say it. Raises DataError, also for a folder of anything else, or of scans by other names."""
        self.out, self.job, self.db, self.names = out, job, Database(out, kind or names.kind), names
        self.presence = Presence(names)
        self._promised: dict[tuple[str, str], str] = {}
        self._promised_at: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self.replaced: set[str] = set()  # labels of files that hold other content than was scored

    def expect(self, among: Sequence[ScanSource]) -> None:
        """New scans have come in the order of `among`, a whole search, whichever is read first, a killed run's
        too."""
        last = (self.db.one("SELECT MAX(id) FROM scans")[0] or 0) // RUN
        came = self.db.all("SELECT id - ?, place FROM scans WHERE id >= ?", last * RUN, max(last, 1) * RUN)
        run = last + (not came or not goes_on(came, [os.fsencode(self._place(source)) for source in among]))
        self._numbers = {_named(source): run * RUN + index for index, source in enumerate(among)}

    def know(self, source: ScanSource, content: str) -> Known:
        """The row of a source, made where there is none. content: hash of its bytes, "" where it cannot be read.

        The same series or content at the same place is the same scan, and so it is where its old place is gone (it
        was moved) or lies around the new one (the series grew). Elsewhere it is a copy with a row of its own; other
        content at the place of a file takes that file's row."""
        series, content, at = self.names.code(source.identity), self.names.code(content), self._place(source)
        identity, place = series or content, os.fsencode(at)
        with self.db.transaction(lasting=False):  # found again in a file that is read again
            row = self._row_of(series, content, at)
            self.presence.saw(series, at)
            if row is None:
                label = self._promised.pop(_named(source), "") or self._free(source)
                self.db.do(
                    "INSERT INTO scans (id, label, folded, identity, place) VALUES (?, ?, ?, ?, ?)",
                    *(self._free_number(self._numbers.pop(_named(source), None)), label, folded(label)),
                    *(identity, place),
                )
                return Known(self.db.one("SELECT id FROM scans WHERE label = ?", label)[0], label, False, not content)
            number, label, job, before, _ = row
            scored = bool(content) and (job, before) == (self.job, content)
            if content:
                if not source.identity:  # what was here before is here no longer
                    self.db.do("UPDATE scans SET place = x'' WHERE place = ? AND id <> ?", place, number)
                    self.replaced |= {label} if before not in (None, content) else set()
                self.db.do("UPDATE scans SET identity = ?, place = ? WHERE id = ?", identity, place, number)
            if scored:  # it can be read again
                self.db.do("UPDATE scans SET failure = NULL WHERE id = ? AND failure IS NOT NULL", number)
            return Known(number, label, scored, not content)

    def _free_number(self, number: int | None) -> int | None:  # None where a scan has it: SQLite gives the next
        return None if self.db.one("SELECT 1 FROM scans WHERE id = ?", number) else number

    def promise(self, source: ScanSource) -> str:
        """The label of a source that is not known yet: the one it has here, or will have."""
        with self.db.transaction():
            row = self._row_of(self.names.code(source.identity), "", self._place(source))
            if row:
                return str(row[1])
            label = self._promised.setdefault(_named(source), self._free(source))
            self._promised_at.setdefault(label, self._place(source))
            return label

    def _row_of(self, identity: str, content: str, place: str) -> Any:
        columns = "SELECT id, label, job, content, place FROM scans"
        if identity or content:
            rows = self.db.all(f"{columns} WHERE identity = ? ORDER BY id", key := identity or content)
            which = self.presence.which(identity, place, [(key, os.fsdecode(row[4])) for row in rows])
            if which is not None:
                return rows[which]
        return None if identity else self.db.one(f"{columns} WHERE place = ?", os.fsencode(place))

    def _free(self, source: ScanSource) -> str:
        """The source's label; where another series of its folder has it, with a hash, as where both are found at
        once; where a scan elsewhere has it, with as many folders in front as no other has, or a hash."""
        hashed = f"{source.name}~{short_hash(source.identity + place_of(source))}"
        others = [hashed_label(source)] if self._is_beside(source) else longer_labels(source)
        promised = self._promised.values()
        for label in map(self.names.label, [source.name, *others, hashed]):
            if self.db.one("SELECT 1 FROM scans WHERE label = ?", label) is None and label not in promised:
                return label
        return self.names.label(f"{hashed}-{self.db.one('SELECT MAX(id) FROM scans')[0]}")

    def _is_beside(self, source: ScanSource) -> bool:
        """Whether one in the source's own folder has its label, or is promised it."""
        label = self.names.label(source.name)
        folder = self.names.place(os.path.realpath(folder_of(source)))
        held = self.db.one("SELECT place FROM scans WHERE label = ?", label)
        places = [os.fsdecode(held[0]) if held else "", self._promised_at.get(label, "")]
        return any(place and around(place, folder) for place in places)

    def add(self, known: Known, content: str, row: ScanRow) -> None:
        """Records a scored scan."""
        blobs = [np.asarray(values, dtype="<f4").tobytes() for values in (row.scores, row.areas)]
        names = ("warnings", "places", "levels", "fit", "why", "print", "trained", "figures", "dicom")
        facts = (*names, "geometry", "heat", "incomplete", "patient")
        result = {name: getattr(row, name) for name in facts}
        self.db.do(
            "UPDATE scans SET job = ?, content = ?, scores = ?, areas = ?, result = ?, failure = NULL WHERE id = ?",
            *(self.job, self.names.code(content), *blobs, json.dumps(result, sort_keys=True), known.id),
        )

    def fail(self, known: Known, failure: Failure) -> None:
        """Records what failed. Scores that a scan had of other bytes go; those of the same bytes stay, also where
        nobody can tell."""
        lost = "" if self.keeps(known) else "job = NULL, content = NULL, scores = NULL, areas = NULL, result = NULL, "
        facts = json.dumps(failure._asdict(), sort_keys=True)
        self.db.do(f"UPDATE scans SET {lost}failure = ? WHERE id = ?", facts, known.id)

    def keeps(self, known: Known) -> bool:
        """Whether a scan that fails now has scores of before that stay."""
        if not (known.scored or known.unread):
            return False
        return bool(self.db.one("SELECT scores IS NOT NULL FROM scans WHERE id = ?", known.id)[0])

    def rows(self) -> list[ScanRow]:
        """This job's scored scans, ordered by label."""
        columns = "SELECT id, label, scores, areas, result, failure IS NOT NULL FROM scans"
        query = f"{columns} WHERE job = ? AND scores IS NOT NULL ORDER BY label"
        return [_scan_row(*values) for values in self.db.all(query, self.job)]

    def has_heat(self, known: Known) -> bool:
        """Whether a scan was scored for a calibration, its map looked at."""
        return bool(self.db.one("SELECT result LIKE '%\"heat\": {%' FROM scans WHERE id = ?", known.id)[0])

    def places(self) -> dict[str, str]:
        """Where the scans lie, by label; see `place_of`."""
        return {label: os.fsdecode(place) for label, place in self.db.all("SELECT label, place FROM scans")}

    def forget(self, known: Known) -> None:
        """Takes out what came and is no scan."""
        with self.db.transaction():
            self._remove(known.id)

    def _remove(self, number: int) -> None:
        """Its outputs are nobody's until they are tidied away: the next scan may get its number."""
        self.db.do("UPDATE outputs SET scan = 0, job = '' WHERE scan = ?", number)
        self.db.do("DELETE FROM told WHERE scan = ?", number)
        self.db.do("DELETE FROM scans WHERE id = ?", number)

    def failures(self) -> list[Failure]:
        """Scans that could not be scored, or not be read again, ordered by label."""
        found = self.db.all("SELECT failure FROM scans WHERE failure IS NOT NULL ORDER BY label")
        return [Failure(**_facts(failure)) for (failure,) in found]

    def of_other_jobs(self) -> int:
        """How many scans were scored with another bundle, engine or options, and are in no table of this job."""
        return int(self.db.one("SELECT COUNT(*) FROM scans WHERE job <> ?", self.job)[0])

    def gone(self, roots: Sequence[Path]) -> list[str]:
        """Labels of scored scans that are no longer where they were. Failures below `roots` that are gone go."""
        columns = "id, label, place, failure IS NOT NULL, scores IS NOT NULL, identity"
        rows = self.db.all(f"SELECT {columns} FROM scans ORDER BY label")
        places = [(number, label, os.fsdecode(place), *state) for number, label, place, *state in rows]
        still = self.presence.there([(identity, place) for _, _, place, _, _, identity in places])
        lost = [row for row, is_there in zip(places, still, strict=True) if not is_there]
        bases = [self.names.place(os.path.realpath(root)) for root in roots]
        with self.db.transaction():
            for number, _, place, failed, scored, _ in lost:
                if not failed or not any(around(base, place) for base in bases):
                    continue
                if scored:
                    self.db.do("UPDATE scans SET failure = NULL WHERE id = ?", number)
                else:
                    self._remove(number)
        return [label for _, label, _, failed, scored, _ in lost if scored or not failed]

    def known(self, label: str) -> Known:
        """The row of a label."""
        number, job = self.db.one("SELECT id, job FROM scans WHERE label = ?", label)
        return Known(number, label, job == self.job)

    def result(self, known: Known) -> Result:
        """What was noted of a scan; nothing of one that is not scored."""
        found = self.db.one("SELECT result FROM scans WHERE id = ?", known.id)
        return _decoded(Result, found[0]) if found and found[0] else Result()

    def shares_label(self, label: str) -> bool:
        """Whether another scan is called so, letter case and normal form aside."""
        return bool(self.db.one("SELECT COUNT(*) > 1 FROM scans WHERE folded = ?", folded(label))[0])

    def import_rows(self, other: Path) -> list[str]:
        """Adds the rows of another output folder and returns their labels. Raises DataError for a ledger that cannot
        be read, and where it calls another scan what one is called here."""
        with reading(other / OUTPUT) as theirs:
            rows = theirs.execute(f"SELECT id, {COLUMNS} FROM scans ORDER BY id").fetchall()
        with self.db.transaction():
            for number, *row in rows:
                here = self.db.one("SELECT identity, place FROM scans WHERE label = ?", row[0])
                if here is not None and here[0] != row[2] and here[1] != row[3]:
                    remedy = "use another --out, or score both in one command"
                    raise DataError(
                        f"calls another scan '{row[0]}' than is called so here", path=other, remedy=remedy
                    )
                update = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS.split(", ")[1:])
                self.db.do(
                    f"INSERT INTO scans (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                    f" ON CONFLICT (label) DO UPDATE SET {update}",
                    *(self._free_number(number), *row),
                )
        return [row[1] for row in rows]

    def _place(self, source: ScanSource) -> str:
        return self.names.place(place_of(source))

    def close(self) -> None:
        """Frees the folder for other runs."""
        self.db.close()


def _scan_row(number: int, label: str, scores: bytes, areas: bytes, result: str, failed: bool = False) -> ScanRow:
    arrays = np.frombuffer(scores, "<f4"), np.frombuffer(areas, "<f4")
    try:
        return ScanRow(label, *arrays, **_facts(result), order=number, failed=bool(failed))
    except TypeError as error:
        raise DataError(f"the ledger's row of '{label}' is not as this maescan writes it", remedy=NEWER) from error


class Result(Record, frozen=True):
    """What of a scan's result is asked for alone."""

    dicom: DicomRecord | None = None
    warnings: tuple[str, ...] = ()


def _facts(text: str) -> Json:
    return _decoded(dict, text)


def _decoded(kind: type[Kind], text: str) -> Kind:
    return decode(kind, text, path=Path(OUTPUT) / "ledger.sqlite", remedy=NEWER)


def rows_of(out: Path) -> list[ScanRow]:
    """The scored scans of another output folder, of one job."""
    with reading(out / OUTPUT) as db:
        found = db.execute(
            "SELECT id, label, scores, areas, result FROM scans WHERE scores IS NOT NULL ORDER BY label"
        )
        return [_scan_row(*values) for values in found]


def _named(source: ScanSource) -> tuple[str, str]:
    """Which source a label is promised to, though more of its files come."""
    return source.series_uid or place_of(source), source.name


def folded(label: str) -> str:
    """What a file system that knows no letter case makes of a label."""
    return unicodedata.normalize("NFC", label).casefold()
