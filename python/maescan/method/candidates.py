"""Tables of candidates, as LUNA16's: places in CTs that may hold a nodule."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.errors import DataError

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
    with open(table, newline="", encoding="utf-8-sig", errors="replace") as stream:
        lines = csv.DictReader(stream)
        try:
            if set(COLUMNS) - set(lines.fieldnames or ()):
                raise DataError("is no table of candidates", path=table, remedy=remedy)
            found = [tuple(row[name] for name in COLUMNS) for row in lines]
            place = np.array([row[1:4] for row in found], float).reshape(-1, 3) * LPS_TO_RAS
            label = np.array([int(row[4]) for row in found], np.int8)
        except (ValueError, TypeError, OverflowError, csv.Error) as error:
            raise DataError(f"holds a line that is no candidate: {error}", path=table, remedy=remedy) from error
    if not np.isfinite(place).all() or not np.isin(label, (0, 1)).all():
        raise DataError("holds a place or a class that is none", path=table, remedy=remedy)
    return Candidates(np.array([row[0] for row in found], str), place, label)
