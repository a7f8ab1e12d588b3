"""MetaImage headers as ITK writes and reads them; whole files are compared with SimpleITK in test_itk_peers.py."""

from __future__ import annotations

import io

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.metaimage import read_metaimage_header

PLAIN = {"NDims": "3", "DimSize": "4 5 6", "ElementType": "MET_SHORT", "ElementSpacing": "0.5 1.5 2.5",
         "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "7 8 9"}  # fmt: skip


def read(tmp_path, data="LOCAL", after="", **fields):
    lines = [f"{name} = {value}\n" for name, value in {**PLAIN, **fields}.items() if value is not None]
    text = "".join([*lines, f"ElementDataFile = {data}\n", after])
    return read_metaimage_header(io.BytesIO(text.encode("latin-1")), tmp_path / "a.mhd"), len(text)


def test_a_local_header_ends_where_its_voxels_begin(tmp_path):
    header, length = read(tmp_path)
    assert (header.shape, header.dtype, header.start, header.packing) == ((4, 5, 6), np.dtype("<i2"), length, "")
    assert header.data == tmp_path / "a.mhd" and header.notes == ()
    assert np.allclose(header.affine, [[-0.5, 0, 0, -7], [0, -1.5, 0, -8], [0, 0, 2.5, 9], [0, 0, 0, 1]])


def test_the_matrix_holds_one_axis_after_the_other(tmp_path):
    header, _ = read(tmp_path, TransformMatrix="0 1 0 0 0 1 1 0 0")
    assert np.allclose(header.affine[:3, :3], [[0, 0, -2.5], [-0.5, 0, 0], [0, 1.5, 0]])


def test_voxels_in_another_file(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"")
    assert (read(tmp_path, "a.raw")[0].data, read(tmp_path, "a.raw")[0].start) == (tmp_path / "a.raw", 0)
    assert read(tmp_path, "a.raw", HeaderSize=100)[0].start == 100
    assert read(tmp_path, "a.raw", HeaderSize=-1)[0].start == -240
    with pytest.raises(ScanError, match="compressed voxels at the end"):
        read(tmp_path, "a.raw", HeaderSize=-1, CompressedData=True)
    with pytest.raises(ScanError, match="its HeaderSize is -2"):
        read(tmp_path, HeaderSize=-2)
    with pytest.raises(ScanError, match="names its data file twice"):
        read(tmp_path, "a.raw", "ElementDataFile = b.raw\n")


@pytest.mark.parametrize("name", ["ElementByteOrderMSB", "BinaryDataByteOrderMSB"])
def test_byte_order_and_compression(tmp_path, name):
    header, _ = read(tmp_path, CompressedData="True", CompressedDataSize=99, **{name: "True"})
    assert (header.dtype, header.packing, header.packed) == (np.dtype(">i2"), "zlib", 99)


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"TransformMatrix": None}, "has no orientation"),
        ({"ElementSpacing": None}, "has no spacing"),
        ({"DistanceUnits": "um"}, "its spacing is in um"),
        ({"Offset": "1 2"}, "its Offset has 2 numbers in place of 3"),
        ({"ElementToIntensityFunctionSlope": "2"}, "its ElementToIntensityFunctionSlope is not applied"),
    ],
)
def test_what_is_guessed_or_left_is_noted(tmp_path, fields, note):
    (text,) = read(tmp_path, **fields)[0].notes
    assert text.startswith(note)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"DimSize": "4 5"}, "DimSize and NDims differ"),
        ({"BinaryData": "False"}, "text voxels"),
        ({"ElementNumberOfChannels": 3}, "several numbers per voxel"),
        ({"ElementType": "MET_OTHER"}, "voxels of type 'MET_OTHER'"),
        ({"TransformMatrix": "1 0 0 1"}, "its TransformMatrix has 4 numbers in place of 9"),
        ({"ElementSpacing": "1 1"}, "its ElementSpacing has 2 numbers in place of 3"),
        ({"dimsize": "4 5 7"}, "says 'dimsize' twice"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, fields, reason):
    with pytest.raises(ScanError, match=reason):
        read(tmp_path, **fields)


def test_a_line_without_a_key_is_not_repeated(tmp_path):
    with pytest.raises(ScanError, match=r"line 1 is no 'key = value'") as error:
        read_metaimage_header(io.BytesIO(b"secret\n"), tmp_path / "a.mhd")
    assert "secret" not in str(error.value)
