"""Tables of candidates, as LUNA16's: places in CTs that may hold a nodule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, field
from numpy.typing import NDArray

from maescan.errors import DataError
from maescan.records import Record, read_rows

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Candidate(Record, frozen=True):
    """A row."""

    series: str = field(name="seriesuid")
    x: float = field(name="coordX")
    y: float = field(name="coordY")
    z: float = field(name="coordZ")
    label: Annotated[int, Meta(ge=0, le=1)] = field(name="class")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of candidates.csv, counted from 0: the series of each, its place [N, 3] in RAS+ mm, 1 for a nodule."""

    series: NDArray[np.str_]
    place: NDArray[np.float64]
    label: NDArray[np.int8]


def read_candidates(table: Path) -> Candidates:
    """Raises DataError for a line that is no candidate."""
    remedy = f"its columns are {','.join(COLUMNS)}: a name, three numbers in mm, 0 or 1"
    found = read_rows(Candidate, table, remedy=remedy, columns=COLUMNS, said="is no candidate")
    places = [(row.x, row.y, row.z) for row in found]
    place = np.array(places, float).reshape(-1, 3) * LPS_TO_RAS
    if not np.isfinite(place).all():
        raise DataError("holds a place that is none", path=table, remedy=remedy)
    return Candidates(
        np.array([row.series for row in found], str), place, np.array([r.label for r in found], np.int8)
    )
