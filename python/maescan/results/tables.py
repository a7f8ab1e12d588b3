"""The tables of an output folder: rows first, then files. The whole ledger is in them, not the last call alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maescan import files
from maescan.decimals import decimal
from maescan.errors import defused, require
from maescan.method import aggregate
from maescan.method.gate import Fit
from maescan.results.rows import Failure, ScanRow

SCANS = ("scan", "score", "p_value", "alert", "fit", "slices", "highest_slice", "warnings", "state")
SLICES = ("scan", "slice", "score", "p_value", "area", "p_scan")
REGIONS = ("scan", "region", "slice", "x", "y", "z", "score", "p_value")
FAILURES = ("scan", "stage", "reason", "remedy", "file")

Row = tuple[object, ...]


class Judge(Protocol):
    """What tells p-values and alerts."""

    def slice_p(self, scores: NDArray[np.float32], positions: NDArray[np.float64] | None) -> list[float]:
        """p-values of slice scores [S] at positions [S]."""

    def any_slice_p(self, scores: NDArray[np.float32]) -> list[float] | None:
        """Of slice scores [S] the share of healthy scans that have any slice as high; None: not known."""

    def scan(self, score: float) -> tuple[float, str]:
        """(p-value, "yes" or "no": alert) of a scan's score."""

    def unlike(self, figures: Mapping[str, float], slices: int) -> list[str]:
        """By what a scan is not like those that it is judged by; slices: 0 where none are counted."""


@dataclass(frozen=True)
class Tables:
    """What is known of all scans of an output folder. rule: how slice scores become a scan's; judge: None for a
    bundle that is not calibrated; any_kind: also scans of another kind than the bundle's are judged."""

    rows: Sequence[ScanRow]
    failures: Sequence[Failure]
    rule: Mapping[str, object] | None
    judge: Judge | None
    any_kind: bool = False

    def scan_score(self, row: ScanRow) -> float:
        """A scan's score."""
        return aggregate.scan_score(row.seen, self.rule)

    def judge_of(self, row: ScanRow) -> Judge | None:
        """The judge, None also for a scan that it cannot judge."""
        return self.judge if self.any_kind or row.fit != Fit.other else None

    def notes(self, row: ScanRow) -> list[str]:
        """All that a reader of the score, and of its p-value, should know."""
        judge, slices = self.judge_of(row), 0 if row.positions is None else row.slices
        return [*row.notes, *(judge.unlike(row.figures, slices) if judge else [])]

    def alerts(self, row: ScanRow) -> bool:
        """Whether a scan is one that a person should look at."""
        judge = self.judge_of(row)
        return judge is not None and judge.scan(self.scan_score(row))[1] == "yes"

    def scans(self) -> list[Row]:
        """A row per scan: SCANS."""
        found: list[Row] = []
        for row in self.rows:
            score = self.scan_score(row)
            judge = self.judge_of(row)
            p_value, alert = judge.scan(score) if judge else ("", "")
            slices, said = (row.slices, row.highest_slice), "; ".join(self.notes(row))
            found.append((row.label, score, p_value, alert, str(row.fit), *slices, said, row.state))
        return found

    def slices(self) -> list[Row]:
        """A row per slice that was scored, or CT patch: SLICES."""
        found: list[Row] = []
        for row in self.rows:
            values = zip(row.scores.tolist(), self._p_values(row), row.areas.tolist(), self._p_scan(row), strict=True)
            found += [(row.label, i, *facts) for i, facts in enumerate(values) if i not in row.missing]
        return found

    def regions(self) -> list[Row]:
        """A row per CT patch with a place (RAS+ mm): REGIONS."""
        found: list[Row] = []
        for row in (row for row in self.rows if row.places):
            levels: Sequence[object] = row.levels or [""] * len(row.places)
            values = zip(levels, row.places, row.scores.tolist(), self._p_values(row), strict=True)
            found += [(row.label, i, at, *mm, score, p) for i, (at, mm, score, p) in enumerate(values)]
        return found

    def _p_values(self, row: ScanRow) -> Sequence[object]:
        judge = self.judge_of(row)
        return judge.slice_p(row.scores, row.positions) if judge else [""] * len(row.scores)

    def _p_scan(self, row: ScanRow) -> Sequence[object]:
        judge = self.judge_of(row)
        return (judge.any_slice_p(row.scores) if judge else None) or [""] * len(row.scores)


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Rows as CSV, for spreadsheets."""
    files.write_csv(path, columns, [[defused(cell) for cell in row] for row in rows])


def write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows as a Parquet table; floats as the CSV has them, an empty cell is null, and a column's type is the same
    whatever it holds, so that tables of several runs go together. Raises ConfigError."""
    pyarrow, parquet = (require(name, "--format parquet") for name in ("pyarrow", "pyarrow.parquet"))
    types = {"scan": pyarrow.string(), "slice": pyarrow.int64()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in columns])
    cells = [[None if row[i] == "" else row[i] for row in rows] for i in range(len(columns))]
    rounded = [[float(decimal(cell)) if isinstance(cell, float) else cell for cell in column] for column in cells]
    with files.atomic_file(path) as temporary:
        parquet.write_table(pyarrow.table(rounded, schema=schema), temporary)
