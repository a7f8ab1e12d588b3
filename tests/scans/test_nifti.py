"""NIfTI: what is kept, what is converted, what is refused and how it is told."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.scans import read_scan
from maescan.scans.nifti import image_of

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
AFFINE = np.array([[0, 0, 3.0, 5], [-2, 0, 0, 6], [0, 1.5, 0, 7], [0, 0, 0, 1]])


def write(path: Path, values: np.ndarray = VALUES, affine: np.ndarray | None = AFFINE, **header: object) -> Path:
    image = nibabel.Nifti1Image(values, affine, dtype=values.dtype)
    nibabel.save(image, path)
    return patch(path, **header)


def patch(path: Path, **fields: object) -> Path:
    """Overwrite header fields of a saved file, whatever nibabel thinks of them."""
    data = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    header = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_reads_what_nibabel_reads(tmp_path, name):
    scan = read_scan(write(tmp_path / name))
    assert np.array_equal(scan.voxels, VALUES)
    assert np.allclose(scan.affine, AFFINE)
    assert (scan.name, scan.format, scan.spacing) == (name, "nifti", (2.0, 1.5, 3.0))


@pytest.mark.parametrize("stored", ["i2", "u2", "u1", "f4", "i1", "i4", "u4", "f8", "i8", "u8"])
@pytest.mark.parametrize("order", "<>")
def test_every_type_and_byte_order(tmp_path, stored, order):
    path = tmp_path / "a.nii.gz"
    image = nibabel.Nifti1Image(VALUES.astype(stored), AFFINE, dtype=stored)
    nibabel.save(nibabel.Nifti1Image(image.dataobj, AFFINE, image.header.as_byteswapped(order)), path)
    voxels = read_scan(path).voxels
    assert voxels.dtype == np.dtype(stored if stored in ("i2", "u2", "u1", "f4") else "f4")
    assert np.array_equal(voxels, VALUES)


def test_nifti_2(tmp_path):
    nibabel.save(nibabel.Nifti2Image(VALUES, AFFINE), tmp_path / "a.nii.gz")
    assert np.array_equal(read_scan(tmp_path / "a.nii.gz").voxels, VALUES)


def test_rounding_to_float32_is_told(tmp_path):
    scan = read_scan(write(tmp_path / "a.nii", VALUES.astype("i4") + 2**24))
    assert scan.warnings == ("int32 voxels were rounded to float32",)


@pytest.mark.parametrize(("slope", "intercept", "expected"), [(0, 5, (1, 0)), (np.nan, 5, (1, 0)), (2, -3, (2, -3))])
def test_slope_and_intercept_are_kept_not_applied(tmp_path, slope, intercept, expected):
    scan = read_scan(write(tmp_path / "a.nii", scl_slope=slope, scl_inter=intercept))
    assert (scan.slope, scan.intercept) == expected
    assert np.array_equal(scan.voxels, VALUES)


def test_one_volume_of_several(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.stack([VALUES, VALUES + 100], -1))
    assert np.array_equal(read_scan(path, volume=1).voxels, VALUES + 100)
    with pytest.raises(ScanError, match=r"holds 2 volumes \(choose one with --volume 0 to 1\)"):
        read_scan(path)
    with pytest.raises(ScanError, match="has no volume 2"):
        read_scan(path, volume=2)


def test_trailing_dimensions_of_one_are_dropped(tmp_path):
    assert read_scan(write(tmp_path / "a.nii", VALUES[..., None, None])).shape == (2, 3, 4)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_units_other_than_mm(tmp_path, unit, factor):
    affine = AFFINE / [factor, factor, factor, factor]
    affine[3, 3] = 1
    scan = read_scan(write(tmp_path / "a.nii", affine=affine, xyzt_units=unit))
    assert np.allclose(scan.affine, AFFINE)


def test_no_orientation_is_taken_from_pixdim_with_a_warning(tmp_path):
    scan = read_scan(write(tmp_path / "a.nii", qform_code=0, sform_code=0))
    assert scan.orientation == "LAS" and scan.spacing == (2.0, 1.5, 3.0)
    assert "left and right are a guess" in scan.warnings[0]


def test_a_shear_is_refused_or_accepted(tmp_path):
    affine = np.eye(4)
    affine[0, 2] = 0.3
    path = write(tmp_path / "a.nii", affine=affine)
    with pytest.raises(ScanError, match=r"sheared by 16\.7 degrees"):
        read_scan(path)
    assert read_scan(path, accept={"shear"}).warnings == ("its axes are sheared by 16.7 degrees",)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"srow_x": np.nan}, "NaN or infinite entries"),
        ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, "voxels of 0 x 0 x 0 mm"),
        ({"srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, "singular"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 7}, r"its qform is no rotation \(quaternion 7, "),
        ({"dim": [3, 0, 3, 4, 1, 1, 1, 1]}, "dimensions 0 x 3 x 4 are not positive"),
        ({"dim": [3, -2, 3, 4, 1, 1, 1, 1]}, "dimensions -2 x 3 x 4 are not positive"),
        ({"dim": [3, 10000, 10000, 10000, 1, 1, 1, 1]}, "declares 10000 x 10000 x 10000 voxels"),
        ({"dim": [3, 20, 30, 40, 1, 1, 1, 1]}, "truncated: its header declares 48352 bytes, it has 400"),
        ({"dim": [3, 2, 3, 3, 1, 1, 1, 1], "vox_offset": 1e20}, "data at byte 1e\\+20"),
        ({"datatype": 32}, "complex numbers"),
        ({"datatype": 128}, "RGB colours"),
        ({"datatype": 77}, "unknown data type 77"),
        ({"magic": b""}, "Analyze"),
        ({"scl_slope": 2, "scl_inter": np.inf}, "intercept inf"),
    ],
)
def test_a_bad_header_is_refused_by_name(tmp_path, fields, reason):
    with pytest.raises(ScanError, match=f"a.nii: .*{reason}.*"):
        read_scan(write(tmp_path / "a.nii", **fields))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_counted(tmp_path, bad):
    values = VALUES.astype(np.float32)
    values[0, 0, :2] = bad
    with pytest.raises(ScanError, match="2 of 24 voxels are NaN or infinite"):
        read_scan(write(tmp_path / "a.nii", values))


def test_a_damaged_byte_in_gzip_is_found(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(ScanError, match="damaged gzip data"):
        read_scan(path)


def test_half_a_pair(tmp_path):
    write(tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(ScanError, match=r"its \.img is missing"):
        read_scan(tmp_path / "a.hdr")


def test_equal_voxels_are_told(tmp_path):
    assert read_scan(write(tmp_path / "a.nii", VALUES * 0)).warnings == ("all voxels are equal",)


def test_a_pair_is_of_its_own_image(tmp_path):
    """Also where its name has .hdr in the middle, or differs from another's in letter case alone."""
    for number, name in enumerate(("p1", "p1.hdr_brain", "SCAN", "scan")):
        pair = nibabel.Nifti1Pair(VALUES + 100 * number, AFFINE)
        nibabel.save(pair, tmp_path / f"{name}.img")
    for number, name in enumerate(("p1", "p1.hdr_brain", "SCAN", "scan")):
        assert read_scan(tmp_path / f"{name}.hdr").voxels.min() == 100 * number
        assert [file.name for file in image_of(tmp_path / f"{name}.hdr")] == [f"{name}.img"]
    (tmp_path / "SCAN.img").unlink()
    with pytest.raises(ScanError, match=r"its \.img is missing"):
        read_scan(tmp_path / "SCAN.hdr")
    (tmp_path / "p1.hdr_note.nii").write_bytes(b"")
    assert image_of(tmp_path / "p1.hdr_note.nii") == ()


def test_a_folder_of_pairs_is_listed_once(tmp_path, monkeypatch):
    """4000 pairs took half a minute: each of them listed all."""
    for number in range(20):
        for end in ("hdr", "img"):
            (tmp_path / f"{number}.{end}").write_bytes(b"")
    os.utime(tmp_path, (1e9, 1e9))
    listed, listing = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listing(folder))
    assert [image_of(tmp_path / f"{number}.hdr")[0].name for number in range(20)] == [f"{n}.img" for n in range(20)]
    assert len(listed) == 1
    (tmp_path / "20.img").write_bytes(b"")
    assert image_of(tmp_path / "20.hdr"), "what came since"


@pytest.mark.parametrize(("name", "left"), [("a.nii", 2), ("a.nii.gz", 1), ("a.nii", 0)])
def test_slices_that_the_header_leaves_out_are_noted(tmp_path, name, left):
    path = write(tmp_path / "b.nii")
    data = bytearray(path.read_bytes() + b"pad")
    data[46:48] = (VALUES.shape[2] - left).to_bytes(2, "little")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    notes = (
        [f"{12 * left + 3} bytes follow what its header declares, {counted(left, 'slice')} or more"] if left else []
    )
    assert [text.partition(":")[0] for text in read_scan(tmp_path / name).warnings] == notes


def test_a_first_pixdim_of_0_stands_for_1(tmp_path):
    image = nibabel.Nifti1Image(VALUES, None)
    image.set_qform(AFFINE, 1)
    image.header["sform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    sign = image.header["pixdim"][0]
    wanted = read_scan(tmp_path / "a.nii").affine
    path = patch(tmp_path / "a.nii", pixdim=[0, *image.header["pixdim"][1:]])
    assert sign != 1 or np.allclose(read_scan(path).affine, wanted)
