from __future__ import annotations

import sqlite3

import pytest

from maescan.scoring.database import VERSION, connect
from maescan.scoring.integrity import CHECKED, OURS, checksum, fault_of, set_aside


@pytest.fixture
def db(tmp_path):
    (tmp_path / ".maescan").mkdir()
    db = connect(tmp_path / ".maescan")
    db.execute("INSERT INTO scans (label, folded, identity, place, scores) VALUES ('a', 'a', 'i', x'00', x'0102')")
    db.execute("INSERT INTO outputs (path, kind, scan, job) VALUES ('maps/a', 'map', 1, 'job')")
    yield db
    db.close()


def columns():
    return [(table, column) for table, names in CHECKED.items() for column in names]


@pytest.mark.parametrize(("table", "column"), columns())
def test_every_column_is_under_the_checksum(db, table, column):
    assert fault_of(db, VERSION) == ""
    db.execute(f"UPDATE {table} SET {column} = 7")
    assert fault_of(db, VERSION) == "", "what maescan changes is as it was written"
    for name in ("insert", "update"):
        db.execute(f"DROP TRIGGER {table}_{name}")
    db.execute(f"UPDATE {table} SET {column} = 8")
    assert fault_of(db, VERSION) == "has 1 row that is not as it was written"


def test_a_checksum_tells_types_and_borders_apart():
    assert (
        len({checksum(*row) for row in ((1, 2), (12,), ("1", "2"), ("12",), (b"12",), (None,), ("",), (b"",))}) == 8
    )


def test_an_older_version_is_said(db):
    db.execute(f"PRAGMA user_version = {VERSION - 1}")
    assert fault_of(db, VERSION) == f"is of version {VERSION - 1}, this maescan writes {VERSION}"
    assert isinstance(db, sqlite3.Connection)


def test_setting_aside_takes_what_a_run_wrote_and_nothing_else(tmp_path):
    ours = ("scans.csv", "maps/sub/a_anomaly.nii.gz", "pictures/a.png", ".maescan/ledger.sqlite")
    theirs = ("notes.csv", "maps/a.nii.gz", "pictures/photo.jpg", ".maescan/kind")
    for name in (*ours, *theirs):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    first = set_aside(tmp_path)
    assert all((tmp_path / name).read_text() == name for name in theirs)
    assert {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()} == {
        name.removeprefix(".maescan/") for name in ours
    }
    assert set_aside(tmp_path) != first


def test_all_that_a_run_writes_goes_with_its_ledger(tmp_path):
    """What stayed would be nobody's, and nothing may be written over it."""
    names = ["maps/a_anomaly.nii.gz", "maps/b/a_exceedance~1234.nii.gz", "views/a.html", "pictures/a.png"]
    names += ["dicom/a_sr.dcm", "scans.csv", "report.html"]
    for name in (*names, "maps/mine.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    left = {str(file.relative_to(tmp_path)) for pattern in OURS for file in tmp_path.glob(pattern)}
    assert left == set(names)
