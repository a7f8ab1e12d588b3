"""NRRD headers as their definition has them; whole files are compared with SimpleITK in test_itk_peers.py."""

from __future__ import annotations

import io

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.nrrd import read_nrrd_header

PLAIN = {"type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "4 5 6",
         "space directions": "(0.5,0,0) (0,1.5,0) (0,0,2.5)", "space origin": "(7,8,9)", "endian": "little",
         "encoding": "raw"}  # fmt: skip
LPS = [[-0.5, 0, 0, -7], [0, -1.5, 0, -8], [0, 0, 2.5, 9], [0, 0, 0, 1]]


def read(tmp_path, *lines, **fields):
    values = {**PLAIN, **{name.replace("_", " "): value for name, value in fields.items()}}
    text = ["NRRD0005", *(f"{name}: {value}" for name, value in values.items() if value is not None), *lines, "", ""]
    content = "\n".join(text).encode("latin-1")
    return read_nrrd_header(io.BytesIO(content + b"voxels"), tmp_path / "a.nrrd"), len(content)


def test_voxels_begin_behind_the_blank_line(tmp_path):
    header, length = read(tmp_path, "# a comment: of no weight", "mine:=anything")
    assert (header.shape, header.dtype, header.start, header.packing) == ((4, 5, 6), np.dtype("<i2"), length, "")
    assert np.allclose(header.affine, LPS) and header.notes == ()


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("RAS", (1, 1)),
        ("right-anterior-superior", (1, 1)),
        ("LAS", (-1, 1)),
        ("left-anterior-superior", (-1, 1)),
        ("LPS", (-1, -1)),
    ],
)
def test_space_says_which_way_axes_point(tmp_path, space, signs):
    affine = read(tmp_path, space=space)[0].affine
    assert np.allclose(affine[:3], np.diag([*signs, 1]) @ [[0.5, 0, 0, 7], [0, 1.5, 0, 8], [0, 0, 2.5, 9]])


def test_an_axis_of_one_that_is_no_space_is_left_out(tmp_path):
    directions = "none (0.5,0,0) (0,1.5,0) (0,0,2.5)"
    header, _ = read(tmp_path, dimension=4, sizes="1 4 5 6", space_directions=directions)
    assert header.shape == (4, 5, 6) and np.allclose(header.affine, LPS)
    with pytest.raises(ScanError, match="4 axes, or several numbers per voxel"):
        read(tmp_path, dimension=4, sizes="3 4 5 6", space_directions=directions)


def test_bytes_and_lines_may_be_skipped(tmp_path):
    data = tmp_path / "a.raw"
    data.write_bytes(b"one\ntwo\n" + b"x" * 240)
    assert read(tmp_path, data_file="a.raw", line_skip=2)[0].start == 8
    assert read(tmp_path, data_file="a.raw", byte_skip=8)[0].start == 8
    assert read(tmp_path, data_file="a.raw", byte_skip=-1)[0].start == -240
    packed = read(tmp_path, data_file="a.raw", byte_skip=8, encoding="gz")[0]
    assert (packed.start, packed.skip, packed.packing) == (0, 8, "gzip")
    with pytest.raises(ScanError, match="compressed voxels behind other bytes"):
        read(tmp_path, data_file="a.raw", byte_skip=-1, encoding="gz")


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"space": None}, "does not say which way its axes point"),
        ({"space": "scanner-xyz"}, "does not say which way its axes point"),
        ({"space_directions": None, "space_origin": None, "spacings": "1 2 3"}, "has no orientation"),
        ({"space_units": '"um" "um" "um"'}, "its spacing is in um"),
    ],
)
def test_what_is_guessed_is_noted(tmp_path, fields, note):
    (text,) = read(tmp_path, **fields)[0].notes
    assert text.startswith(note)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "hex"}, "encoding 'hex'"),
        ({"type": "block"}, "voxels of type 'block'"),
        ({"dimension": "4"}, "sizes and dimension differ"),
        ({"space_directions": "(1,0,0) (0,1,0)"}, "2 space directions of 3 axes"),
        ({"space_directions": "(1,0) (0,1) (1,1)"}, "its space directions are not of three numbers"),
        ({"space_origin": "(1,2)"}, "its space origin are not of three numbers"),
        ({"endian": None}, "its header lacks 'endian'"),
        ({"data_file": "LIST"}, "several files"),
        ({"data_file": "../a.raw"}, "outside its folder"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, fields, reason):
    with pytest.raises(ScanError, match=reason):
        read(tmp_path, **fields)


def test_one_byte_and_text_have_no_byte_order(tmp_path):
    assert read(tmp_path, type="uchar", endian=None)[0].dtype == np.uint8
    assert read(tmp_path, encoding="ascii", endian=None)[0].packing == "text"
