"""Scans of a data set are read as they lie there: of one, `score` can be told more, by options that `train` lacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from maescan.content import read_text
from maescan.errors import DataError, ScanError, typed
from maescan.records import Record, read_rows
from maescan.scans import Scan, ScanSource, read_scan

REMEDY = (
    "its first line is scan,slice,label or scan,label, with commas; a label is 0 (healthy) or 1 (with a lesion), a"
    " slice a number from 0; a table of whole scans has no column slice"
)
OWN_FILE = "put one of them into a file of its own, and that into the set"
LABELS = "labels.csv"
_NAMED = 3
_COLUMNS = ("scan", "slice", "label", "patient", "split")
_OTHERS = "[lL][aA][bB][eE][lL]*.*"
_SHEETS = {".csv", ".tsv", ".xls", ".xlsx", ".ods"}
_LIST = re.compile(
    r"(?:^|[^a-z])(?:splits?|folds?|datalist|dataset)(?:[^a-z]|$)(?!description)|^(?:train|test|val)[a-z]*[_-]?\d*$"
)
_TABLES = _SHEETS | {".txt", ".json"}


def read_member(source: ScanSource, read: Callable[[ScanSource], Scan] = read_scan) -> Scan:
    """As `read` does. Raises ScanError whose remedy names no option that the commands of data sets lack."""
    try:
        return read(source)
    except ScanError as error:
        remedy = without_options(error.remedy or "")
        raise type(error)(error.reason, path=error.path, remedy=remedy, file=error.file) from error


def without_options(remedy: str) -> str:
    """A remedy of `read_scan` where neither --volume nor --accept can be given.

    >>> print(without_options("resample it to right angles, or --accept shear"))
    resample it to right angles
    """
    if "--volume" in remedy:
        return OWN_FILE
    return re.sub(r"(?:,? or|to score it,) --accept [\w-]+", "", remedy)


def tables_not_read(folder: Path) -> str:
    """Names the tables below `folder` that may be meant as labels, and the lists that may be meant as its parts: none
    of them is read for that: "; not read for labels or parts: a.csv"; "" for none."""
    files = (file for file in folder.rglob("*.*") if file != folder / LABELS and _may_tell(file) and file.is_file())
    found = sorted(file.relative_to(folder).as_posix() for file in files)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"; not read for labels or parts: {', '.join(found[:_NAMED])}{more}" if found else ""


def _may_tell(file: Path) -> bool:
    listed = file.suffix.lower() in _TABLES and _LIST.search(file.stem.lower())
    return file.suffix.lower() in _SHEETS or bool(listed)


def columns_not_read(table: Path) -> str:
    """Names the columns of a labels.csv, which was read, that say something else than labels, such as a part; "" for
    none."""
    if not table.is_file():
        return ""
    header = read_text(table).splitlines()[0]
    others = [name for cell in header.split(",") if (name := cell.strip(' "')) and name not in _COLUMNS]
    return f"; columns of {table.name} that are not read: {', '.join(others)}" if others else ""


def refuse_other_labels(folder: Path) -> None:
    """Raises DataError for a table of labels below `folder` that is not its labels.csv: without one all scans would
    be taken for healthy, and ill ones trained on."""
    if (folder / LABELS).is_file():
        return
    for file in sorted(folder.rglob(_OTHERS)):
        if file.stem.lower() in ("label", "labels") and file.suffix.lower() in _TABLES and file.is_file():
            remedy = f"make {typed(folder / LABELS)} of it, or move it elsewhere if the scans are healthy"
            raise DataError(
                "is not read: labels are read from labels.csv in the folder itself", path=file, remedy=remedy
            )


class Label(Record, frozen=True):
    """A row of labels.csv: of one slice, or of all. patient: whose the scan is; split: its part; line: its line."""

    scan: Annotated[str, Meta(min_length=1)]
    label: Annotated[int, Meta(ge=0, le=1)]
    slice: Annotated[int, Meta(ge=0)] | None = None
    patient: str = ""
    split: str = ""
    line: int = 0


def read_labels(file: Path) -> list[Label]:
    """The rows of a labels.csv. Raises DataError naming file and line."""
    return read_rows(Label, file, remedy=REMEDY, columns=("scan", "label"), said="is no label")
