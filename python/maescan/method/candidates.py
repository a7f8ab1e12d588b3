"""Tables of candidates, as LUNA16's: places in CTs that may hold a nodule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, field
from numpy.typing import NDArray

from maescan.errors import DataError
from maescan.method.patches import outside
from maescan.records import Record, read_rows

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Place(Record, frozen=True):
    """A row that says where."""

    series: str = field(name="seriesuid")
    x: float = field(name="coordX")
    y: float = field(name="coordY")
    z: float = field(name="coordZ")


class Candidate(Place, frozen=True):
    """A row that says whether it is a nodule too."""

    label: Annotated[int, Meta(ge=0, le=1)] = field(name="class")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of candidates.csv, counted from 0: the series of each, its place [N, 3] in RAS+ mm, 1 for a nodule (0
    where nobody asked)."""

    series: NDArray[np.str_]
    place: NDArray[np.float64]
    label: NDArray[np.int8]


BELONG = "check that table and CT belong together, and that its places are LPS mm, as LUNA16's are, not RAS or voxels"
FARTHEST = 1e6
"""mm; no place in a scanner is as far from its middle."""


def read_candidates(table: Path, *, labelled: bool = True) -> Candidates:
    """The rows of a table; labelled: it has to say which are nodules, as LUNA16's annotations.csv and the output of a
    detector do not; else their class, be it a word or a share, is not read. Raises DataError for a line that is no
    candidate, and for a table without any."""
    columns = COLUMNS if labelled else COLUMNS[:-1]
    values = "a name, three numbers in mm" + (", 0 or 1" if labelled else "")
    remedy = f"its columns are {','.join(columns)}, with commas between: {values}"
    kind: type[Place] = Candidate if labelled else Place
    found = read_rows(kind, table, remedy=remedy, columns=columns, said="is no candidate")
    places = [(row.x, row.y, row.z) for row in found]
    place = np.array(places, float).reshape(-1, 3) * LPS_TO_RAS
    if not len(found):
        raise DataError("has no rows", path=table, remedy=remedy)
    if len(none := np.flatnonzero(~(np.abs(place) <= FARTHEST).all(axis=1))):
        raise DataError(f"row {none[0]} holds a place that is none", path=table, remedy=remedy)
    series = np.array([row.series.strip() for row in found], str)
    label = [row.label if isinstance(row, Candidate) else 0 for row in found]
    return Candidates(series, place, np.array(label, np.int8))


def told_outside(
    places: NDArray[np.float64], centres: NDArray[np.int64], shape: tuple[int, ...], rows: NDArray[np.int64]
) -> str:
    """Which of some rows of a table, whose places [N, 3] (RAS+ mm) are voxels `centres` of a CT's view of that
    shape, lies outside of it; "" where none does."""
    lost = np.flatnonzero(outside(centres, shape))
    if not len(lost):
        return ""
    at = ", ".join(f"{value:g}" for value in places[lost[0]] * LPS_TO_RAS)
    more = f", as {len(lost) - 1} more of its {len(rows)} do" if len(lost) > 1 else ""
    return f"row {rows[lost[0]]} of the candidates, at {at}, lies outside of it{more}"
