"""Scans of a data set are read as they lie there: of one, `score` can be told more, by options that `train` lacks."""

from __future__ import annotations

import re
from pathlib import Path

from maescan.errors import DataError, ScanError, typed
from maescan.scans import Scan, ScanSource, read_scan

OWN_FILE = "put one of them into a file of its own, and that into the set"
LABELS = "labels.csv"
_NAMED = 3
_OTHERS = "[lL][aA][bB][eE][lL]*.*"
_SHEETS = {".csv", ".tsv", ".xls", ".xlsx", ".ods"}
_TABLES = _SHEETS | {".txt", ".json"}


def read_member(source: ScanSource) -> Scan:
    """As `read_scan`. Raises ScanError whose remedy names no option that the commands of data sets lack."""
    try:
        return read_scan(source)
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
    return re.sub(r",? or --accept [\w-]+", "", remedy)


def tables_not_read(folder: Path) -> str:
    """Names the tables below `folder` that may be meant as labels and are not read: "; not read: a.csv"; "" for none.
    A BIDS folder's participants.tsv are `evaluate`'s groups."""
    ours = {folder / LABELS, folder / "participants.tsv"}
    files = (file for file in folder.rglob("*.*") if file.suffix.lower() in _SHEETS and file not in ours)
    found = sorted(file.relative_to(folder).as_posix() for file in files if file.is_file())
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"; not read: {', '.join(found[:_NAMED])}{more}" if found else ""


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
