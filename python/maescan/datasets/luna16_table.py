"""LUNA16's table of candidates, and which of its rows belong to which part (section 4.1)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.items import PARTS
from maescan.datasets.splits import row_split
from maescan.errors import DataError

NORMAL = {"train": 50_000, "val": 3_000, "test": 10_000}  # of 549,714 candidates that are no nodule
ABNORMAL = {"val": 351, "test": 1_000}  # all nodules of candidates.csv
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of candidates.csv, counted from 0: the series of each, its place [N, 3] in RAS+ mm, 1 for a nodule."""

    series: NDArray[np.str_]
    place: NDArray[np.float64]
    label: NDArray[np.int8]


def read_candidates(table: Path) -> Candidates:
    """Raises DataError for a line that is no candidate."""
    remedy = f"its columns are {','.join(COLUMNS)}"
    with open(table, newline="", encoding="utf-8-sig") as stream:
        lines = csv.DictReader(stream)
        if set(COLUMNS) - set(lines.fieldnames or ()):
            raise DataError("is no table of candidates", path=table, remedy=remedy)
        try:
            found = [tuple(row[name] for name in COLUMNS) for row in lines]
            place = np.array([row[1:4] for row in found], float).reshape(-1, 3) * LPS_TO_RAS
            label = np.array([int(row[4]) for row in found], np.int8)
        except (ValueError, TypeError) as error:
            raise DataError(f"holds a line that is no candidate: {error}", path=table, remedy=remedy) from error
    if not np.isfinite(place).all() or not np.isin(label, (0, 1)).all():
        raise DataError("holds a place or a class that is none", path=table, remedy=remedy)
    return Candidates(np.array([row[0] for row in found], str), place, label)


def draw(label: NDArray[np.int8], there: NDArray[np.bool_], seed: int) -> dict[int, str]:
    """Row -> part, of rows that are `there`; the rest of the normal ones is left out."""
    rng = np.random.default_rng(seed)
    normal, abnormal = (rng.permutation(np.flatnonzero(there & (label == value))) for value in (0, 1))
    wanted = sum(NORMAL.values())
    available = min(len(normal), wanted)
    val, test = (NORMAL[part] * available // wanted for part in ("val", "test"))
    counts = [available - val - test, val, test]
    validation = round(len(abnormal) * ABNORMAL["val"] / sum(ABNORMAL.values()))
    parts = np.repeat(PARTS, counts)
    found = dict(zip(normal[: len(parts)].tolist(), parts.tolist(), strict=True))
    parts = np.repeat(["val", "test"], [validation, len(abnormal) - validation])
    return found | dict(zip(abnormal.tolist(), parts.tolist(), strict=True))


def listed(rows: Candidates, there: NDArray[np.bool_], split_dir: Path) -> dict[int, str]:
    """Row -> part, of the rows that are `there` and that the authors' files name. Raises DataError where these are
    of another table, ConfigError where they call a nodule normal or the other way round."""
    said = row_split(split_dir)
    for row, line in sorted(said.items(), key=lambda pair: (pair[1].file, pair[1].line)):
        if row >= len(rows.label):
            reason = f"line {line.line} names row {row}, the table has {len(rows.label)}"
            raise DataError(reason, path=line.file, remedy=_EDITION)
        if line.part == "train" and rows.label[row]:
            reason = f"line {line.line} trains on row {row}, which is a nodule"
            raise DataError(reason, path=line.file, remedy=_EDITION)
        line.check(int(rows.label[row]))
    return {row: line.part for row, line in said.items() if there[row]}


_EDITION = "they belong to candidates.csv, not to candidates_V2.csv"
