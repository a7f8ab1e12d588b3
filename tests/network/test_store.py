"""The database that the network's parts keep what they know in."""

from __future__ import annotations

import sqlite3

import pytest

from maescan.errors import DataError
from maescan.network.store import Store

SCHEMA = "CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY);"


class Names(Store):
    def __init__(self, path, version=1):
        super().__init__(path / "names.sqlite", SCHEMA, version, "list", "delete it")

    def add(self, name):
        with self.transaction():
            self._db.execute("INSERT INTO names VALUES (?)", (name,))

    def listed(self):
        return [name for (name,) in self._all("SELECT name FROM names ORDER BY name")]


def test_what_fails_inside_a_transaction_leaves_nothing_of_it(tmp_path):
    names = Names(tmp_path)
    names.add("before")
    with pytest.raises(KeyError), names.transaction():
        names.add("within")
        raise KeyError
    assert names.listed() == ["before"]
    names.close()
    again = Names(tmp_path)
    assert again.listed() == ["before"]
    again.close()


def test_another_version_and_a_damaged_file_are_refused_by_name(tmp_path):
    Names(tmp_path).close()
    with pytest.raises(DataError, match=r"is a list of version 1 \(use the maescan that wrote it, or another --out"):
        Names(tmp_path, version=2)
    (tmp_path / "names.sqlite").write_bytes(b"no database" * 99)
    with pytest.raises(DataError, match="the list is unusable") as caught:
        Names(tmp_path)
    assert caught.value.remedy == "delete it"


def test_one_that_cannot_be_made_is_not_to_be_deleted(tmp_path, monkeypatch):
    """On a disk that is full or read-only it was called one that may be damaged."""

    def connect(*_, **__):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        raise error

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(DataError, match="the list is unusable: unable to open database file") as caught:
        Names(tmp_path)
    assert caught.value.remedy == f"free space, or see who may write there: namei -l {tmp_path}"
