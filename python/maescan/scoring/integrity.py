"""Whether a ledger is as maescan wrote it: a checksum a row, SQLite's own check, and where a damaged one goes."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from maescan.decimals import counted
from maescan.errors import DataError
from maescan.files import OUTPUT

CHECKED = {
    "scans": ("label", "folded", "identity", "place", "content", "job", "scores", "areas", "result", "failure"),
    "outputs": ("path", "kind", "scan", "job"),
}
"""What of a row its checksum is over."""
OURS = (
    "scores.csv",
    "scans.csv",
    "scores.parquet",
    "regions.csv",
    "failures.csv",
    "passed_over.csv",
    "run.json",
    "watch.json",
    "report.html",
    "maps/**/*_anomaly*.nii.gz",
    "maps/**/*_exceedance*.nii.gz",
    "views/**/*.html",
    "pictures/**/*.png",
    "dicom/**/*.dcm",
)
"""What a run writes beside a ledger, which names it; without one it is nobody's."""


def triggers() -> str:
    """SQL that keeps every row's checksum. It calls `checksum`, which connections of maescan alone have: no other
    program changes a row unseen."""
    made = []
    for table, columns in CHECKED.items():
        new = ", ".join(f"NEW.{column}" for column in columns)
        for event, name in (("INSERT", "insert"), (f"UPDATE OF {', '.join(columns)}", "update")):
            made.append(
                f"CREATE TRIGGER IF NOT EXISTS {table}_{name} AFTER {event} ON {table} BEGIN"
                f" UPDATE {table} SET checksum = checksum({new}) WHERE rowid = NEW.rowid; END;"
            )
    return "\n".join(made)


def register(db: sqlite3.Connection) -> None:
    """Gives a connection the function of the triggers."""
    db.create_function("checksum", -1, checksum, deterministic=True)


def checksum(*values: object) -> str:
    """Of a row's values: text, bytes, whole numbers and nothing, each with its type and length."""
    digest = hashlib.sha256()
    for value in values:
        content = (
            value if isinstance(value, bytes) else b"" if value is None else str(value).encode("utf-8", "replace")
        )
        digest.update(f"{type(value).__name__} {len(content)} ".encode() + content)
    return digest.hexdigest()[:24]


def fault_of(db: sqlite3.Connection, version: int) -> str:
    """What is wrong with a ledger; "" where nothing is. Raises sqlite3.DatabaseError for what is no database."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found < version:
        return f"is of version {found}, this maescan writes {version}"
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        return f"is damaged: {answer}"
    for table, columns in CHECKED.items():
        rows = db.execute(f"SELECT checksum, {', '.join(columns)} FROM {table}")
        count = sum(checksum(*values) != known for known, *values in rows)
        if count:
            return f"has {counted(count, 'row that is not as it was', 'rows that are not as they were')} written"
    return ""


def set_aside(out: Path) -> Path:
    """Moves a ledger and what was written beside it into a folder of its own below OUT, and returns that. Nothing is
    removed. Raises DataError where the disk refuses."""
    folder = out / OUTPUT
    number = 1 + sum(1 for _ in folder.glob("set-aside-*"))
    while (aside := folder / f"set-aside-{number}").exists():
        number += 1
    try:
        aside.mkdir()
        files = [file for pattern in OURS for file in sorted(out.glob(pattern)) if file.is_file()]
        for file in [*files, *sorted(folder.glob("ledger.sqlite*"))]:  # the ledger last: a kill leaves it to be found
            place = aside / (file.name if file.parent == folder else file.relative_to(out))
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
    except OSError as error:
        remedy = "use another --out or change its permissions"
        raise DataError(f"cannot write: {error.strerror}", path=out, remedy=remedy) from error
    return aside
