"""NIfTI headers that people really have: read as nibabel reads them, and every guess is noted."""

from __future__ import annotations

import bz2
import lzma
from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans import Scan, find_scans, read_scan

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
RAS = np.diag([2.0, 1.5, 3, 1])
LAS = np.diag([-2.0, 1.5, 3, 1])
TURNED = np.array([[0, 0, 3.0, 0], [2, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]])


def write(path: Path, qform: tuple[np.ndarray, int], sform: tuple[np.ndarray, int], **fields: object) -> Path:
    image = nibabel.Nifti1Image(VALUES, None)
    image.set_qform(*qform)
    image.set_sform(*sform)
    data = bytearray(image.to_bytes())
    header = np.frombuffer(data, image.header.template_dtype, 1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(data)
    return path


def as_nibabel(scan: Scan) -> bool:
    """The same values at the same places, whatever the order they are stored in."""
    return np.allclose(scan.affine, nibabel.load(scan.path).affine)


@pytest.mark.parametrize(
    ("qform", "sform", "fields", "orientation", "note"),
    [
        ((RAS, 1), (RAS, 1), {}, "RAS", None),
        ((RAS, 1), (LAS, 1), {}, "LAS", "its qform and sform differ (by 180 degrees): its sform was taken"),
        ((RAS, 1), (TURNED, 1), {}, "ASR", "its qform and sform differ (by 90 degrees): its sform was taken"),
        ((RAS, 1), (np.eye(4), 1), {}, "RAS", "its qform and sform differ (in spacing): its sform was taken"),
        ((RAS, 0), (LAS, 1), {}, "LAS", None),
        ((LAS, 1), (RAS, 0), {}, "LAS", None),
        ((RAS, 1), (RAS, 0), {"pixdim": [1, -2, 1.5, 3, 0, 0, 0, 0]}, "RAS", "has negative pixdim"),
        ((RAS, 0), (RAS, 0), {"pixdim": [1, -2, 1.5, 3, 0, 0, 0, 0]}, "LAS", "has negative pixdim"),
        ((RAS, 0), (RAS, 0), {"pixdim": [1, 2, -1.5, 3, 0, 0, 0, 0]}, "LAS", "has negative pixdim"),
        ((RAS, 0), (RAS, 0), {"pixdim": [-1, 2, 1.5, -3, 0, 0, 0, 0]}, "LAS", "has negative pixdim"),
        ((RAS, 1), (RAS, 1), {"srow_x": 0, "srow_y": 0, "srow_z": 0}, "RAS", "its sform is all 0"),
    ],
)
def test_orientation_and_its_note(tmp_path, qform, sform, fields, orientation, note):
    scan = read_scan(write(tmp_path / "a.nii", qform, sform, **fields))
    assert scan.orientation == orientation
    if "srow_x" not in fields:  # nibabel takes the zeros
        assert as_nibabel(scan)
    assert (scan.warnings[:1] == ()) if note is None else scan.warnings[0].startswith(note)
    if qform[1] == sform[1] == 0:
        assert scan.warnings[1].endswith("taken as LAS, left and right are a guess")


def test_a_quaternion_that_is_too_long_is_named(tmp_path):
    path = write(tmp_path / "a.nii", (RAS, 1), (RAS, 0), quatern_b=0.9, quatern_c=0.6, quatern_d=0.3)
    with pytest.raises(ScanError, match=r"its qform is no rotation \(quaternion 0\.9, 0\.6, 0\.3\)"):
        read_scan(path)


@pytest.mark.parametrize(
    ("header", "image"), [("X.HDR", "X.IMG"), ("x.hdr", "x.IMG"), ("x.Hdr", "x.img"), ("a.b.hdr", "a.b.img")]
)
def test_a_pair_in_any_spelling(tmp_path, header, image):
    nibabel.save(nibabel.Nifti1Pair(VALUES, RAS), tmp_path / "pair.img")
    (tmp_path / "pair.hdr").rename(tmp_path / header)
    (tmp_path / "pair.img").rename(tmp_path / image)
    (source,) = find_scans(tmp_path)
    assert [file.name for file in source.files] == [header, image]
    assert np.array_equal(read_scan(source).voxels, VALUES)


@pytest.mark.parametrize("end", ["bz2", "xz", "zst"])
def test_other_compressors(tmp_path, end):
    data = nibabel.Nifti1Image(VALUES, RAS).to_bytes()
    (tmp_path / f"a.nii.{end}").write_bytes(packed(data, end))
    (source,) = find_scans(tmp_path)
    assert np.array_equal(read_scan(source).voxels, VALUES)


@pytest.mark.parametrize("end", ["bz2", "xz", "zst"])
@pytest.mark.parametrize("spoil", ["cut", "flip"])
def test_damage_in_other_compressors(tmp_path, end, spoil):
    values = np.random.default_rng(0).integers(0, 999, (20, 30, 40), np.int16)
    data = bytearray(packed(nibabel.Nifti1Image(values, RAS).to_bytes(), end))
    if spoil == "cut":
        del data[-3000:]
    else:
        data[len(data) // 2] ^= 255
    (tmp_path / f"a.nii.{end}").write_bytes(data)
    with pytest.raises(ScanError, match=r"a\.nii\.\w+: (has damaged|is truncated|is not a NIfTI)"):
        read_scan(tmp_path / f"a.nii.{end}")


def test_a_bomb_of_bzip2_is_refused(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((800, 800, 800))
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "a.nii.bz2").write_bytes(bz2.compress(header.binaryblock + bytes(2**20)))
    with pytest.raises(ScanError, match="a decompression bomb"):
        read_scan(tmp_path / "a.nii.bz2")


def packed(data: bytes, end: str) -> bytes:
    if end == "zst":
        zstd = pytest.importorskip("backports.zstd")
        return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    return bz2.compress(data) if end == "bz2" else lzma.compress(data)
