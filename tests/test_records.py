from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from maescan.errors import BundleError, DataError
from maescan.records import Record, StrictRecord, check, decode, read, read_rows, whole_rows


class Row(Record, frozen=True):
    scan: str
    slice: int


class Strict(StrictRecord, frozen=True):
    count: int


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"count": "1"}', b'{"count": NaN}', b'{"count": 1, "more": 2}', b"\xff", b"[" * 100_000],
)
def test_what_is_not_as_it_should_be_is_one_line(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(BundleError) as error:
        read(Strict, tmp_path / "a.json", remedy="make it anew", error=BundleError)
    assert "\n" not in str(error.value) and "a.json" in str(error.value) and "make it anew" in str(error.value)


def test_a_path_that_is_no_utf_8_is_read_as_it_was_written(tmp_path):
    file, written = tmp_path / "a.json", json.dumps({"path": os.fsdecode(b"\xfc")})
    file.write_text(written)
    assert read(dict[str, str], file, remedy="") == {"path": os.fsdecode(b"\xfc")}
    for faulty in (written[:-1], written.replace("{", '{"count": 3, ')):
        file.write_text(faulty)
        with pytest.raises(DataError, match="not as maescan writes it"):
            read(dict[str, str], file, remedy="")


def test_nesting_without_end_is_refused():
    with pytest.raises(DataError, match=r"nested too deeply|not as maescan writes it"):
        decode(dict[str, object], b'{"a":' * 200_000, path=Path("a.json"), remedy="")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read(Strict, tmp_path / "none.json", remedy="make it")


def test_values_are_checked_like_text():
    assert check(Strict, {"count": 3}, path=Path("x"), remedy="") == Strict(count=3)
    with pytest.raises(DataError, match="count"):
        check(Strict, {"count": None}, path=Path("x"), remedy="")


def test_rows_become_numbers_and_a_wrong_cell_names_its_line(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("scan,slice,more\nx,3,\n")
    assert read_rows(Row, file, remedy="", columns=("scan",)) == [Row(scan="x", slice=3)]
    file.write_text("scan,slice\nx,3\ny,four\n")
    with pytest.raises(DataError, match="line 3"):
        read_rows(Row, file, remedy="mend it")
    file.write_text("scan,slice\nx\n")
    with pytest.raises(DataError, match="line 2 has another number of cells"):
        read_rows(Row, file, remedy="mend it")
    file.write_text("slice\n1\n")
    with pytest.raises(DataError, match="lacks the column scan"):
        read_rows(Row, file, remedy="mend it", columns=("scan",))
    for content in (b"scan,slice\n\xff,1\n", "scan,slice\nx,1\n".encode("utf-16")):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.csv: is not UTF-8 text"):
            read_rows(Row, file, remedy="mend it")


@pytest.mark.parametrize("line", ["scan;slice", "scan\tslice", "", "'scan',slice"])
def test_a_table_of_other_columns_names_those_that_it_has(tmp_path, line):
    file = tmp_path / "a.csv"
    file.write_text(f"{line}\nx;3\n" if line else "")
    with pytest.raises(DataError, match=re.escape(repr(line) if line else "nothing")):
        read_rows(Row, file, remedy="mend it", columns=("scan",))


def test_of_what_a_killed_run_left_the_whole_rows_are_read(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("scan,slice\nx,3\n\x00\x00\ny,four\nz,5\nz")
    assert whole_rows(Row, file) == [Row(scan="x", slice=3), Row(scan="z", slice=5)]
    file.write_bytes(b"")
    assert whole_rows(Row, file) == []
    with pytest.raises(DataError, match="cannot be read"):
        whole_rows(Row, tmp_path / "none.csv")


def test_others_tables_may_have_tabs_and_words_of_their_own(tmp_path):
    (tmp_path / "a.tsv").write_text("scan\tslice\nx\tthree\n")
    with pytest.raises(DataError, match=r"line 2: is no row: `slice` is 'three'"):
        read_rows(Row, tmp_path / "a.tsv", remedy="", delimiter="\t", said="is no row")


def test_a_column_that_comes_twice_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("scan,slice,scan\nx,1,y\n")
    with pytest.raises(DataError, match="has the column 'scan' twice"):
        read_rows(Row, tmp_path / "a.csv", remedy="", columns=("scan",))
