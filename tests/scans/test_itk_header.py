"""Fields of a header, the checks of what it declares, and where its data may lie."""

from __future__ import annotations

import io

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.itk_header import LONGEST, Fields, ItkHeader, beside, header_line, known


@pytest.fixture
def fields(tmp_path):
    fields = Fields(tmp_path / "a.mhd")
    for name, value in (("sizes", "4 5 6"), ("one", "7"), ("words", "a b"), ("huge", str(2**63)), ("empty", "")):
        fields.add(name, value)
    return fields


def test_a_field_counts_once(fields):
    fields.add("one", "7")
    with pytest.raises(ScanError, match="says 'one' twice"):
        fields.add("one", "8")
    assert "one" in fields and "two" not in fields


def test_numbers_are_numbers_or_the_field_is_named(fields):
    assert fields.integers("sizes") == (4, 5, 6) and fields.integer("one") == 7
    assert fields.integers("none", "3 3") == (3, 3) and fields.get("none") == ""
    assert fields.first(("none", "one", "sizes")) == "7" and fields.first(("none",)) is None
    for name in ("words", "huge", "empty"):
        with pytest.raises(ScanError, match=f"its {name} is not a list of whole numbers"):
            fields.integers(name)
    with pytest.raises(ScanError, match="its header lacks 'two'"):
        fields.integer("two")


def test_a_number_must_be_finite_and_what_stands_there_is_not_repeated(fields):
    assert fields.floats("0.5 -1e3", "spacing").tolist() == [0.5, -1000]
    for text in ("1 nan", "inf", "root:x:0:0"):
        with pytest.raises(ScanError, match="its spacing is not a list of numbers") as error:
            fields.floats(text, "spacing")
        assert text not in str(error.value)


def header(path, shape=(4, 5, 6), start=0, packing="", packed=0):
    return ItkHeader(path, shape, np.dtype("<i2"), path, start, packing, np.eye(4), packed=packed)


def test_what_is_declared_fits_the_file(tmp_path):
    path = tmp_path / "a.mha"
    header(path, start=100).check(340)
    header(path, start=-240).check(1000)
    header(path, packing="zlib").check(30)
    assert header(path).size == 240 and header(path, (4, 5, 6, 7)).volumes == 7


@pytest.mark.parametrize(
    ("fields", "real", "reason"),
    [
        ({"start": 101}, 340, "declares 240 bytes, it has 239"),
        ({"start": -240}, 239, "declares 240 bytes, it has 239"),
        ({"shape": (4, 5)}, 40, "has 2 axes"),
        ({"shape": (4, 5, 6, -1)}, 240, "dimensions -1 are not positive"),
        ({"shape": (4, 5, 6, 0)}, 240, "dimensions 0 are not positive"),
        ({"packing": "zlib"}, 0, "0 compressed bytes cannot hold the 240"),
        ({"packing": "zlib", "packed": 90}, 30, "declares 90 bytes, it has 30"),
        ({"packing": "bzip2", "shape": (1024, 1024, 512)}, 99, "decompression bomb"),
    ],
)
def test_what_is_declared_and_cannot_be_is_refused(tmp_path, fields, real, reason):
    with pytest.raises(ScanError, match=reason):
        header(tmp_path / "a.mha", **fields).check(real)


def test_types_are_those_of_the_table(tmp_path):
    assert known({"short": "i2"}, "short", tmp_path) == np.int16
    with pytest.raises(ScanError, match="voxels of type 'colours'"):
        known({"short": "i2"}, "colours", tmp_path)


def test_a_header_has_an_end(tmp_path):
    stream = io.BytesIO(b"a\nb\n")
    assert header_line(stream, tmp_path) == b"a\n"
    stream.seek(LONGEST + 1)
    with pytest.raises(ScanError, match="does not end within"):
        header_line(stream, tmp_path)


def test_data_lie_beside_their_header_or_below(tmp_path):
    folder = tmp_path / "scans"
    (folder / "raw").mkdir(parents=True)
    path, data = folder / "a.mhd", folder / "raw" / "a.raw"
    data.write_bytes(b"")
    (tmp_path / "b.raw").write_bytes(b"")
    (folder / "c.raw").symlink_to(tmp_path / "b.raw")
    (folder / "d.raw").symlink_to(folder / "gone")
    (folder / "f.raw").symlink_to("f.raw")
    for name in ("größe.raw", "höhe.raw"):
        (folder / name).write_bytes(b"")
    assert beside(path, "raw/a.raw") == beside(path, "raw\\a.raw") == data
    assert beside(path, "größe.raw".encode().decode("latin-1")).name == "größe.raw"
    assert beside(path, "höhe.raw").name == "höhe.raw", "a header in Latin-1"
    for name, reason in {
        "../b.raw": "outside its folder",
        str(tmp_path / "b.raw"): "outside its folder",
        "c.raw": "outside its folder",
        "d.raw": "is a link to nowhere",
        "f.raw": "is a link to nowhere",
        ".": "outside its folder",
        "e.raw": r"'e\.raw', which holds the voxels of 'a\.mhd', is missing",
        "raw": "is not a file",
        "": "names no data file",
        "a\0b": "names no data file",
        "LIST 2D": "several files",
        "a%03d.raw 1 5 1": "several files",
    }.items():
        with pytest.raises(ScanError, match=reason):
            beside(path, name)
