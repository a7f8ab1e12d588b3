"""Metrics by sex, age, scanner, or whatever a table says of the scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.content import read_content
from maescan.datasets.subjects import subjects_of
from maescan.errors import DataError, quoted
from maescan.evaluate.ranking import auroc
from maescan.records import read_rows

NAMES = ("participant_id", "patient", "scan", "subject", "id")
"""What the column may be called that says which scan a row is of; else it is the first."""
MANY = 5
"""Numbers that take more values than that are cut into three parts."""
SEVERAL = "several values"
"""What is said where rows of one name differ: of a patient of several sessions, or of two who are called alike."""
SHOWN = 5  # rows that are named
UNKNOWN = {"", "n/a", "na", "nan", "none"}

Groups = Mapping[str, Mapping[str, str]]
"""Column -> scan as the table has it -> value."""


def read_groups(table: Path) -> Groups:
    """Columns of a table, CSV (of commas or semicolons) or TSV with a header; SEVERAL where rows of one name differ.
    Raises DataError."""
    rows = read_rows(
        dict[str, str],
        table,
        remedy="give a CSV or TSV with a header, in UTF-8",
        delimiter=_delimiter(table),
        said="is no row of a table",
    )
    columns = [name for name in (rows[0] if rows else ()) if name]
    name = next((column for column in columns if column.lower() in NAMES), columns[0] if columns else "")
    if len(columns) < 2:
        found = f"its columns are {', '.join(map(quoted, columns))}" if columns else "it holds no row"
        remedy = f"give a table with a header: {NAMES[0]} and what is to be told apart"
        raise DataError(f"says nothing of any scan: {found}", path=table, remedy=remedy)
    groups: dict[str, dict[str, str]] = {column: {} for column in columns if column != name}
    for column, values in groups.items():
        for row in rows:
            value = (row[column] or "").strip()
            if row[name] and value.lower() not in UNKNOWN and values.setdefault(row[name], value) != value:
                values[row[name]] = SEVERAL
    return groups


def _delimiter(table: Path) -> str:
    """What stands between the cells of a table's header; `read_rows` says what is wrong with one that is none."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    try:
        header = read_content(table).partition(b"\n")[0]
    except OSError:
        return ","
    return max(",;\t", key=lambda mark: header.count(mark.encode()))


def rows_not_used(groups: Groups, patients: ArrayLike, whose: ArrayLike | None = None) -> str:
    """How many rows of a table tell nothing of the scans that are judged, why, and the first of them; "" for none."""
    rows = sorted({name for values in groups.values() for name in values})
    called = _names_of(patients, whose)
    used, whole = ({name for names in part for name in names} for part in (called.values(), map(_names, called)))
    whole |= used
    shared = [name for name in rows if name in whole - used]
    others = [name for name in rows if name not in whole]
    differ = [name for name in rows if name in used and SEVERAL in {values.get(name) for values in groups.values()}]
    told = (
        (others, "are of no scan that is judged"),
        (shared, "name several patients (write the folder's path, as siteA/sub-01)"),
        (differ, f"differ from others of their name, so some columns have {SEVERAL}"),
    )
    return "; ".join(
        f"{len(names)} of {len(rows)} rows {what}: {', '.join(names[:SHOWN])}{', ...' * (len(names) > SHOWN)}"
        for names, what in told
        if names
    )


def by_group(
    groups: Groups,
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    threshold: float | None,
    whose: ArrayLike | None = None,
) -> dict[str, list[dict[str, object]]]:
    """A row a value of each column: scans, slices, AUROC, and specificity and sensitivity at a threshold, None where
    there is nothing to tell them from. patients: the scan of each slice [N]; whose: `SliceSet.whose`."""
    label, score, patient = np.asarray(labels), np.asarray(scores, np.float64), np.asarray(patients)
    found, called = {}, _names_of(patient, whose)
    for column, values in groups.items():
        of_scan = _parts({scan: _value(values, names) for scan, names in called.items()})
        each = np.array([of_scan[str(name)] for name in patient])
        if set(of_scan.values()) - {"unknown", SEVERAL}:
            found[column] = [
                {
                    "value": value,
                    **_row(label[each == value], score[each == value], patient[each == value], threshold),
                }
                for value in dict.fromkeys(sorted(of_scan.values(), key=_order))
            ]
    return found


def _value(values: Mapping[str, str], names: list[str]) -> str:
    """What a table says of a scan by one of its names."""
    return next((values[name] for name in names if name in values), "unknown")


def _names_of(patients: ArrayLike, whose: ArrayLike | None) -> dict[str, list[str]]:
    """What rows may call each scan: its path, whom it is of, a folder's, any part of it, or the beginning of its
    file's name; not what two subjects of BIDS have in common, the sub-01 of two sites."""
    scans, first = np.unique(np.asarray(patients, str), return_index=True)
    told = np.full(len(scans), "") if whose is None else np.asarray(whose, str)[first]
    names = {scan: _names(scan, who) for scan, who in zip(scans.tolist(), told.tolist(), strict=True)}
    of: dict[str, set[str]] = {}
    for scan, subject in zip(scans.tolist(), subjects_of(scans, told).tolist(), strict=True):
        for name in names[scan]:
            of.setdefault(name, set()).add(subject)
    return {
        scan: [name for name in own if len(of[name]) == 1 or not name.startswith("sub-")]
        for scan, own in names.items()
    }


def _names(scan: str, who: str = "") -> list[str]:
    path = PurePosixPath(scan)
    folders = [folder.as_posix() for folder in path.parents if folder.name]
    return [scan, *filter(None, [who]), *folders, *path.parts, path.name.split(".")[0], path.name.split("_")[0]]


def _parts(of_scan: dict[str, str]) -> dict[str, str]:
    """Numbers of many values in three parts of about as many scans each; anything else as it is."""
    numbers = {}
    for scan, value in of_scan.items():
        try:
            numbers[scan] = float(value.replace(",", "."))
        except ValueError:
            if value not in ("unknown", SEVERAL):
                return of_scan
    if len(set(numbers.values())) <= MANY:
        return of_scan
    low, high = np.quantile(list(numbers.values()), [1 / 3, 2 / 3])
    names = (f"under {low:g}", f"{low:g} to {high:g}", f"{high:g} and over")
    return {
        scan: names[int(numbers[scan] >= low) + int(numbers[scan] >= high)] if scan in numbers else value
        for scan, value in of_scan.items()
    }


def _order(value: str) -> tuple[bool, bool, bool, str]:
    return value in ("unknown", SEVERAL), value.endswith(" and over"), not value.startswith("under "), value


def _row(
    label: NDArray[np.generic], score: NDArray[np.float64], patient: NDArray[np.generic], threshold: float | None
) -> dict[str, object]:
    ill, both = label == 1, len(np.unique(label)) == 2
    found = score >= threshold if threshold is not None else None
    return {
        "scans": len(np.unique(patient)),
        "slices": len(label),
        "auroc": auroc(label, score) if both else None,
        "specificity": float((~found[~ill]).mean()) if found is not None and (~ill).any() else None,
        "sensitivity": float(found[ill].mean()) if found is not None and ill.any() else None,
    }
