"""MetaImage and NRRD: what SimpleITK reads, but for headers that are not honest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.scan_files import VALUES
from maescan.errors import ScanError
from maescan.scans import axial_view, find_scans, read_scan

sitk = pytest.importorskip("SimpleITK")
STORAGE = VALUES.transpose(2, 1, 0)
NAMES = ["a.mhd", "a.mha", "a.nrrd", "a.nhdr"]


def write(path: Path, values: np.ndarray = VALUES, compress: bool = False, **parts: object) -> Path:
    image = sitk.GetImageFromArray(values, **parts)
    image.SetSpacing([0.5, 1.5, 2.5, 1.0][: image.GetDimension()])
    sitk.WriteImage(image, str(path), compress)
    return path


def change(path: Path, old: str, new: str) -> Path:
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode(), 1))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compress", [False, True])
def test_voxels_and_axial_view(tmp_path, name, compress):
    scan = read_scan(write(tmp_path / name, compress=compress))
    assert np.array_equal(scan.voxels, STORAGE)
    assert (scan.spacing, scan.orientation) == ((0.5, 1.5, 2.5), "LPS")
    assert np.array_equal(axial_view(scan)[0], VALUES)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_type(tmp_path, name, dtype):
    voxels = read_scan(write(tmp_path / name, VALUES.astype(dtype))).voxels
    assert voxels.dtype == np.dtype(dtype if dtype in ("u1", "u2", "i2", "f4") else "f4")
    assert np.array_equal(voxels, STORAGE)


def test_the_files_of_a_detached_header(tmp_path):
    write(tmp_path / "a.mhd")
    write(tmp_path / "b.nhdr")
    files = [[file.name for file in source.files] for source in find_scans(tmp_path)]
    assert files == [["a.mhd", "a.raw"], ["b.nhdr", "b.raw"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compress", [False, True])
def test_slices_that_the_header_leaves_out_are_noted(tmp_path, name, compress):
    path = write(tmp_path / name, compress=compress)
    change(path, "4 5 6", "4 5 4")
    (note,) = read_scan(path).warnings
    assert note.startswith("80 bytes follow what its header declares, 2 slices or more: what")


def test_one_volume_of_several(tmp_path):
    path = write(tmp_path / "a.mha", np.stack([VALUES, VALUES + 100]), isVector=False)
    assert np.array_equal(read_scan(path, volume=1).voxels, STORAGE + 100)
    with pytest.raises(ScanError, match="holds 2 volumes"):
        read_scan(path)


def test_an_nrrd_in_ras(tmp_path):
    path = change(write(tmp_path / "a.nrrd"), "left-posterior-superior", "right-anterior-superior")
    assert read_scan(path).orientation == "RAS"


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_no_orientation_is_a_guess_and_told(tmp_path, name):
    path = write(tmp_path / name)
    line = (
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        if name == "a.mha"
        else "space directions: (0.5,0,0) (0,1.5,0) (0,0,2.5)\n"
    )
    warnings = read_scan(change(path, line, "")).warnings
    assert warnings[0] == "has no orientation: taken as LPS, left and right are a guess"
    assert warnings[1:] == (() if name == "a.mha" else ("has no spacing: taken as 1 x 1 x 1 mm",))


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file(tmp_path, name):
    write(tmp_path / name)
    data = max(tmp_path.iterdir(), key=lambda file: file.suffix != ".mhd" and file.suffix != ".nhdr")
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(ScanError, match="truncated: its header declares 240 bytes, it has 220"):
        read_scan(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_compression(tmp_path, name):
    values = np.random.default_rng(0).integers(0, 9999, (6, 50, 40), np.int16)
    write(tmp_path / name, values, compress=True)
    data = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    data.write_bytes(data.read_bytes()[:-9000])
    with pytest.raises(ScanError, match=r"is truncated|has damaged (zlib|gzip) data"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("a.mha", "DimSize = 4 5 6", "DimSize = 4 5 -6", "dimensions 4 x 5 x -6 are not positive"),
        ("a.mha", "DimSize = 4 5 6", "DimSize = 9999 9999 9999", "declares 9999 x 9999 x 9999 voxels"),
        ("a.mha", "DimSize = 4 5 6", "DimSize = 4 5 7", "truncated"),
        ("a.mha", "DimSize = 4 5 6", "DimSize = 4 5", "DimSize and NDims differ"),
        ("a.mha", "MET_SHORT", "MET_SHORT_ARRAY", "voxels of type 'MET_SHORT_ARRAY'"),
        ("a.mha", "ElementType", "ElementNumberOfChannels = 3\nElementType", "several numbers per voxel"),
        ("a.mha", "BinaryData = True", "BinaryData = False", "text voxels"),
        ("a.mhd", "a.raw", "LIST", "several files"),
        ("a.mhd", "a.raw", "../a.raw", "outside its folder"),
        ("a.mhd", "a.raw", "/etc/passwd", "outside its folder"),
        ("a.mhd", "a.raw", "b.raw", "'b.raw', which holds the voxels of 'a.mhd', is missing"),
        ("a.mhd", "ElementDataFile", "Elsewhere", "header lacks 'elementdatafile'"),
        ("a.mhd", "ElementSpacing = 0.5", "ElementSpacing = nan", "its ElementSpacing is not a list of numbers"),
        ("a.nrrd", "sizes: 4 5 6", "sizes: 4 5 0", "not positive"),
        ("a.nrrd", "sizes: 4 5 6", "sizes: 4 5 6000000000000", "declares"),
        ("a.nrrd", "type: short", "type: block", "voxels of type 'block'"),
        ("a.nrrd", "encoding: raw", "encoding: hex", "encoding 'hex'"),
        ("a.nrrd", "NRRD", "NARD", "line 1 is no 'key = value'"),
        ("a.nhdr", "data file: a.raw", "data file: LIST", "several files"),
        ("a.nhdr", "data file: a.raw", "data file: ../../x.raw", "outside its folder"),
    ],
)
def test_a_bad_header_is_refused_by_name(tmp_path, name, old, new, reason):
    with pytest.raises(ScanError, match=reason):
        read_scan(change(write(tmp_path / name), old, new))


def test_colours_are_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 5, 4, 3), np.uint8), isVector=True), str(tmp_path / "a.nrrd"))
    with pytest.raises(ScanError, match="several numbers per voxel"):
        read_scan(tmp_path)


def test_nan_voxels_are_counted(tmp_path):
    values = VALUES.astype(np.float32)
    values[0, 0, 0] = np.nan
    with pytest.raises(ScanError, match="1 of 120 voxels is NaN"):
        read_scan(write(tmp_path / "a.mha", values))


def test_zlib_that_wants_a_dictionary_is_refused(tmp_path):
    """MetaIO would wait for one for ever: found by damaging files at random."""
    path = change(write(tmp_path / "a.mha", compress=True), "= LOCAL\n", "= LOCAL\nx MET")
    with pytest.raises(ScanError, match="has damaged zlib data"):
        read_scan(path)
