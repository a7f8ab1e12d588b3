"""MetaImage and NRRD beside SimpleITK: the same voxels in the same places, and damage that it does not see."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from helpers.scan_files import VALUES
from maescan.errors import ScanError
from maescan.scans import Scan, find_scans, read_scan
from maescan.scans.geometry import LPS_TO_RAS

sitk = pytest.importorskip("SimpleITK")
RAW = VALUES.astype("<i2").tobytes()
TURNED = "0 1 0 0 0 1 1 0 0"  # no symmetric matrix: rows and columns must not be mixed up


def meta(path: Path, data: bytes | None = RAW, file: str = "LOCAL", **keys: object) -> Path:
    fields = {"NDims": 3, "ElementSpacing": "0.5 1.5 2.5", "TransformMatrix": TURNED, "Offset": "7 8 9"}
    fields |= {"DimSize": "4 5 6", "ElementType": "MET_SHORT", **keys}
    header = "ObjectType = Image\n" + "".join(
        f"{key} = {value}\n" for key, value in fields.items() if value is not None
    )
    header += f"ElementDataFile = {file}\n"
    path.write_bytes(header.encode() + (data or b"" if file == "LOCAL" else b""))
    if file != "LOCAL" and data is not None:
        (path.parent / file).write_bytes(data)
    return path


def nrrd(path: Path, data: bytes = RAW, *lines: str, blob: str = "", **fields: object) -> Path:
    known = {"type": "short", "dimension": 3, "space": "left-posterior-superior", "sizes": "4 5 6"}
    known |= {"space directions": "(0,0.5,0) (0,0,1.5) (2.5,0,0)", "space origin": "(7,8,9)", "endian": "little"}
    known |= {"encoding": "raw", **{key.replace("_", " "): value for key, value in fields.items()}}
    header = "NRRD0005\n" + "".join(f"{key}: {value}\n" for key, value in known.items() if value is not None)
    path.write_bytes((header + "".join(f"{line}\n" for line in lines)).encode() + (b"" if blob else b"\n" + data))
    if blob:
        (path.parent / blob).write_bytes(data)
    return path


def same_as_itk(path: Path, scan: Scan) -> bool:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    return np.array_equal(voxels, scan.voxels) and np.allclose(LPS_TO_RAS @ affine, scan.affine)


BIG = VALUES.astype(">i2").tobytes()
PACKED = zlib.compress(RAW)
HEADER = {f"Seq_Frame{i:04d}_Transform": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1" for i in range(2000)}
META = {
    "turned": (RAW, "LOCAL", {}),
    "negative": (RAW, "LOCAL", {"ElementSpacing": "-0.5 1.5 2.5"}),
    "big_endian": (BIG, "LOCAL", {"BinaryDataByteOrderMSB": True}),
    "element_big_endian": (BIG, "LOCAL", {"ElementByteOrderMSB": True}),
    "other_names": (
        RAW,
        "LOCAL",
        {"TransformMatrix": None, "Orientation": TURNED, "Offset": None, "Position": "7 8 9"},
    ),
    "size": (RAW, "LOCAL", {"ElementSpacing": None, "ElementSize": "0.5 1.5 2.5"}),
    "zlib": (PACKED, "LOCAL", {"CompressedData": True, "CompressedDataSize": len(PACKED)}),
    "zraw": (PACKED, "z.zraw", {"CompressedData": True}),
    "words": (RAW, "my scan 1 v2.raw", {}),
    "list": (RAW, "liste.raw", {}),
    "tail": (b"x" * 100 + RAW, "t.raw", {"HeaderSize": -1}),
    "head": (b"x" * 100 + RAW, "h.raw", {"HeaderSize": 100}),
    "tail_of_its_own": (b"x" * 100 + RAW, "LOCAL", {"HeaderSize": -1}),
    "long_header": (RAW, "LOCAL", HEADER),
}


@pytest.mark.parametrize("case", META)
def test_a_metaimage_is_read_as_itk_reads_it(tmp_path, case):
    data, file, keys = META[case]
    path = meta(tmp_path / "a.mhd", data, file, **keys)
    scan = read_scan(path)
    assert same_as_itk(path, scan)
    assert scan.warnings == ()


NRRD = {
    "turned": (RAW, (), {}),
    "big_endian": (BIG, (), {"endian": "big"}),
    "ras": (RAW, (), {"space": "right-anterior-superior"}),
    "las_short": (RAW, (), {"space": "LAS"}),
    "gzip": (gzip.compress(RAW), (), {"encoding": "gzip"}),
    "gzip_skip": (gzip.compress(b"1234" + RAW), (), {"encoding": "gzip", "byte_skip": 4}),
    "bzip2": (bz2.compress(RAW), (), {"encoding": "bzip2"}),
    "ascii": (" ".join(map(str, VALUES.ravel())).encode(), (), {"encoding": "ascii"}),
    "keys": (RAW, ("type:=segment", "sizes:=many", "# a: comment"), {}),
    "lines": (b"a\nb\n" + RAW, (), {"blob": "l.raw", "line_skip": 2, "data_file": "l.raw"}),
    "tail": (b"x" * 99 + RAW, (), {"blob": "t.raw", "byte_skip": -1, "data_file": "t.raw"}),
    "tail_of_its_own": (b"x" * 99 + RAW, (), {"byte_skip": -1}),
    "before_its_end": (b"x" * 99 + RAW + b"yz", (), {"byte_skip": -3}),
    "lines_of_its_own": (b"a\nb\n123" + RAW, (), {"line_skip": 2, "byte_skip": 3}),
    "words": (RAW, (), {"blob": "my scan 1 v2.raw", "data_file": "my scan 1 v2.raw"}),
}


@pytest.mark.parametrize("case", NRRD)
def test_an_nrrd_is_read_as_itk_reads_it(tmp_path, case):
    data, lines, fields = NRRD[case]
    path = nrrd(tmp_path / ("a.nhdr" if "blob" in fields else "a.nrrd"), data, *lines, **fields)
    if case in ("bzip2",):  # SimpleITK is built without it
        assert np.array_equal(read_scan(path).voxels, VALUES.transpose(2, 1, 0))
    else:
        assert same_as_itk(path, read_scan(path))
    assert read_scan(path).warnings == ()


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_size_counts_from_the_start_of_its_own_file(tmp_path, packed):
    data, more = (PACKED, {"CompressedData": True, "CompressedDataSize": len(PACKED)}) if packed else (RAW, {})
    path = meta(tmp_path / "a.mha", b"", HeaderSize=700, **more)
    path.write_bytes(path.read_bytes().ljust(700, b"x") + data)
    assert same_as_itk(path, read_scan(path))


@pytest.mark.parametrize("end", ["mhd", "nhdr"])
def test_a_name_beyond_ascii_is_that_of_its_bytes(tmp_path, end):
    path = tmp_path / f"größe.{end}"
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(path))
    (source,) = find_scans(tmp_path)
    assert len(source.files) == 2 and same_as_itk(path, read_scan(source))


@pytest.mark.parametrize(
    ("write", "fields", "note"),
    [
        (meta, {"TransformMatrix": None}, "has no orientation: taken as LPS"),
        (meta, {"ElementSpacing": None}, "has no spacing: taken as 1 x 1 x 1 mm"),
        (meta, {"Offset": "0 0"}, "its Offset has 2 numbers in place of 3"),
        (meta, {"DistanceUnits": "cm"}, "its spacing is in cm"),
        (nrrd, {"space": None, "space_dimension": 3}, "does not say which way its axes point: taken as LPS"),
        (nrrd, {"space": "scanner-xyz"}, "does not say which way its axes point: taken as LPS"),
        (nrrd, {"space": None, "space_directions": None, "spacings": "1 2 3"}, "has no orientation: taken as LPS"),
    ],
)
def test_what_is_guessed_is_noted(tmp_path, write, fields, note):
    (warning,) = read_scan(write(tmp_path / "a.nhdr", RAW, **fields)).warnings
    assert warning.startswith(note)


def test_units_are_those_of_the_header(tmp_path):
    assert read_scan(meta(tmp_path / "a.mha", DistanceUnits="cm")).spacing == (5, 15, 25)
    metres = {"space_directions": "(0.0005,0,0) (0,0.0015,0) (0,0,0.0025)", "space_units": '"m" "m" "m"'}
    assert np.allclose(read_scan(nrrd(tmp_path / "a.nrrd", **metres)).spacing, (0.5, 1.5, 2.5))


def test_a_flipped_byte_of_compressed_voxels_is_never_scored(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (6, 50, 40), np.int16)
    data, damaged = zlib.compress(values.tobytes()), 0
    for place in np.linspace(2, len(data) - 1, 40).astype(int):
        flipped = bytearray(data)
        flipped[place] ^= 1
        path = meta(tmp_path / "a.mha", bytes(flipped), DimSize="40 50 6", CompressedData=True)
        with pytest.raises(ScanError, match=r"a\.mha: (has damaged zlib data|is truncated)"):
            read_scan(path)
        damaged += 1
    assert damaged == 40


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("ElementDataFile = ../secret/x.raw\n", "outside its folder"),
        ("elementdatafile = ../secret/x.raw\n", "outside its folder"),
        ("ElementDataFile : ../secret/x.raw\n", "outside its folder"),
        ("ElementDataFile = good.raw\nElementDataFile = ../secret/x.raw\n", "names its data file twice"),
        ("elementdatafile = good.raw\nElementDataFile = ../secret/x.raw\n", "names its data file twice"),
        ("ElementDataFile =good.raw\n ElementDataFile= ../secret/x.raw\n", "names its data file twice"),
        ("Comment = ElementDataFile = good.raw\nElementDataFile = ../secret/x.raw\n", "outside its folder"),
        ("# ElementDataFile = good.raw\nElementDataFile = ../secret/x.raw\n", "outside its folder"),
        (
            "CompressedData = False\ncompresseddata = True\nElementDataFile = good.raw\n",
            "says 'compresseddata' twice",
        ),
        ("DimSize = 1 1 1\nElementDataFile = good.raw\n", "says 'dimsize' twice"),
        ("ElementDataFile = sub/link.raw\n", "outside its folder"),
        ("ElementDataFile = %s\n", "outside its folder"),
    ],
)
def test_no_header_reaches_a_file_outside_its_folder(tmp_path, header, reason):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.raw").write_bytes(RAW)
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "good.raw").write_bytes(RAW)
    (folder / "sub" / "link.raw").symlink_to(tmp_path / "secret" / "x.raw")
    start = "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\n"
    (folder / "a.mhd").write_text(start + header.replace("%s", str(tmp_path / "secret" / "x.raw")))
    with pytest.raises(ScanError, match=reason):
        read_scan(folder / "a.mhd")


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nhdr", "a.nii", "a.hdr", "a.dcm", "a.nii.gz"])
@pytest.mark.parametrize("content", ["root:$6$hash:19000:0:99999:7:::\n", "password = hunter2\nNDims = hunter2\n"])
def test_a_link_to_another_file_does_not_quote_it(tmp_path, name, content):
    (tmp_path / "shadow").write_text(content * 9)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).symlink_to(tmp_path / "shadow")
    with pytest.raises(ScanError) as error:
        read_scan(tmp_path / "in" / name)
    assert "hash" not in str(error.value) and "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("gone.raw", r"'gone\.raw', which holds the voxels of 'a\.mhd', is missing \(put it beside 'a\.mhd'\)"),
        ("LIST", "several files"),
        ("sl/%03d.raw 0 23 1", "several files"),
        ("struct2(%Max=5).raw", "several files"),
    ],
)
def test_voxels_that_are_elsewhere(tmp_path, file, reason):
    with pytest.raises(ScanError, match=reason):
        read_scan(meta(tmp_path / "a.mhd", None, file))


def test_a_name_of_windows(tmp_path):
    (tmp_path / "win.raw").write_bytes(RAW)
    path = meta(tmp_path / "a.mhd", None, ".\\win.raw")
    assert np.array_equal(read_scan(path).voxels, VALUES.transpose(2, 1, 0))
    (source,) = find_scans(path)
    assert [file.name for file in source.files] == ["a.mhd", "win.raw"]


@pytest.mark.slow
def test_a_header_without_end_is_refused(tmp_path):
    (tmp_path / "a.mhd").write_bytes(b"ObjectType = Image\n" + b"Key%d = 1\n" * (2**24 // 10 + 9))
    with pytest.raises(ScanError, match="does not end within"):
        read_scan(tmp_path / "a.mhd")
