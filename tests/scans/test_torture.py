"""Files made to break a reader: each ends in its own one-line error, within a second and 300 MB."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
import zlib
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.scan_files import UID, VALUES, dicom_slice, save, write_nifti, write_series
from maescan.errors import ScanError
from maescan.scans import read_scan

SECONDS, MEGABYTES = 1.0, 300
ZEROS = 2**20
MEMBER = gzip.compress(bytes(ZEROS))


def nifti_header(shape, **fields) -> bytes:
    header = nibabel.Nifti2Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"] = 544, b"n+2\0\r\n\x1a\n"
    header["sform_code"] = 1
    header["srow_x"], header["srow_y"], header["srow_z"] = [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + bytes(4)


def zeros(megabytes: int, window: int = zlib.MAX_WBITS) -> bytes:
    """A stream of so many zeros, put together of one packed megabyte; its check sum is none."""
    packer = zlib.compressobj(1, zlib.DEFLATED, window)
    first, second = (packer.compress(bytes(ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + second * (megabytes - 1) + packer.flush()


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def make_nifti(root: Path) -> None:
    (root / "bomb_declared.nii.gz").write_bytes(gzip.compress(nifti_header((1000, 1000, 900))) + MEMBER * 2000)
    (root / "bomb_hidden.nii.gz").write_bytes(gzip.compress(nifti_header((4, 5, 6))) + MEMBER * 10_000)
    (root / "trillion.nii").write_bytes(nifti_header((10_000,) * 3))
    (root / "trillion.nii.gz").write_bytes(gzip.compress(nifti_header((10_000,) * 3)))
    (root / "overflow.nii").write_bytes(nifti_header((2**31, 2**31, 4)))
    (root / "billion_truncated.nii.gz").write_bytes(gzip.compress(nifti_header((1000, 1000, 1000)) + bytes(9)))
    (root / "zero.nii.gz").touch()
    (root / "zero.nii").touch()
    (root / "text.nii.gz").write_text("this is no scan\n" * 100)
    (root / "text.nii").write_text("this is no scan\n" * 100)
    noise = np.random.default_rng(0).integers(0, 999, (9, 60, 60), np.int16)
    cut(write_nifti(root / "truncated.nii.gz", noise), 9000)
    cut(write_nifti(root / "truncated.nii"), 50)


def make_itk(root: Path) -> None:
    meta = "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = {}\nElementType = MET_SHORT\n"
    packed = meta + "CompressedData = True\nElementDataFile = LOCAL\n"
    (root / "trillion.mha").write_bytes((meta + "ElementDataFile = LOCAL\n").format("10000 10000 10000").encode())
    (root / "bomb_declared.mha").write_bytes(
        packed.format("1000 1000 900").encode() + zlib.compress(bytes(2**21)) * 900
    )
    (root / "bomb_hidden.mha").write_bytes(packed.format("4 5 6").encode() + zeros(256))
    (root / "zero.mha").touch()
    (root / "text.mhd").write_text("this is no scan\n")
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nsizes: {}\nencoding: {}\nendian: little\n\n"
    (root / "trillion.nrrd").write_bytes(nrrd.format("10000 10000 10000", "raw").encode())
    (root / "bomb_declared.nrrd").write_bytes(nrrd.format("1000 1000 900", "gzip").encode() + MEMBER * 1800)
    (root / "bomb_hidden.nrrd").write_bytes(nrrd.format("4 5 6", "gzip").encode() + MEMBER * 10_000)
    (root / "zero.nrrd").touch()
    (root / "text.nrrd").write_text("this is no scan\n")


def make_dicom(root: Path) -> None:
    write_series(root / "missing_slice", depths=(0, 1, 2, 4, 5, 6))
    write_series(root / "duplicated_slice", depths=(0, 1, 2, 2, 3, 4))
    write_series(root / "tilt", step=(0, 1, 2.5))
    write_series(root / "two_series")
    write_series(root / "two_series", first=10, SeriesInstanceUID=UID + "2")
    big = {"Rows": 60000, "Columns": 60000, "NumberOfFrames": 300}
    save(dicom_slice(VALUES[0], (0, 0, 0), **big), root / "trillion.dcm")
    save(dicom_slice(VALUES[0], (0, 0, 0), Rows=30000, Columns=30000), root / "short.dcm")
    (root / "zero.dcm").touch()
    (root / "text.dcm").write_text("this is no scan\n" * 100)
    cut(save(dicom_slice(VALUES[0], (0, 0, 0)), root / "truncated.dcm"), 9)
    deflate_bomb(root)
    frames = dicom_slice(VALUES[0].repeat(20, 0).repeat(20, 1), (0, 0, 0), BitsStored=12, HighBit=11)
    frames.compress("1.2.840.10008.1.2.4.80")
    frames.Rows = frames.Columns = 20_000
    save(frames, root / "jpeg_ls_bomb.dcm")


def deflate_bomb(root: Path) -> None:
    from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated

    plain = save(
        dicom_slice(VALUES[0], (0, 0, 0), TransferSyntaxUID=Deflated), root / "deflate_bomb.dcm"
    ).read_bytes()
    start = 144 + int.from_bytes(plain[140:144], "little")
    (root / "deflate_bomb.dcm").write_bytes(plain[:start] + zeros(300, -zlib.MAX_WBITS))


def make_zip(root: Path) -> None:
    (root / "zero.zip").touch()
    (root / "text.zip").write_text("this is no scan\n" * 100)
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.nii", bytes(2**28 + 1))
    data = (root / "bomb.zip").read_bytes()
    (root / "truncated.zip").write_bytes(data[:-30])


EXPECTED = {
    "bomb_declared.nii.gz": "a decompression bomb",
    "bomb_hidden.nii.gz": "far more than the 784 that its header declares",
    "trillion.nii": "declares 10000 x 10000 x 10000 voxels",
    "trillion.nii.gz": "declares 10000 x 10000 x 10000 voxels",
    "overflow.nii": "declares 2147483648 x 2147483648 x 4 voxels",
    "billion_truncated.nii.gz": "compressed bytes cannot hold",
    "zero.nii.gz": "is empty",
    "zero.nii": "is empty",
    "text.nii.gz": "is not a NIfTI file",
    "text.nii": "is not a NIfTI file",
    "truncated.nii.gz": "gzip data",
    "truncated.nii": "is truncated",
    "trillion.mha": "declares 10000 x 10000 x 10000 voxels",
    "bomb_declared.mha": "a decompression bomb",
    "bomb_hidden.mha": "far more than the 240 that its header declares",
    "zero.mha": "is empty",
    "text.mhd": "its header is damaged: line 1 is no 'key = value'",
    "trillion.nrrd": "declares 10000 x 10000 x 10000 voxels",
    "bomb_declared.nrrd": "a decompression bomb",
    "bomb_hidden.nrrd": "far more than the 240 that its header declares",
    "zero.nrrd": "is empty",
    "text.nrrd": "its header is damaged: line 1 is no 'key = value'",
    "missing_slice": "lacks 1 of 7 slices",
    "duplicated_slice": "has 1 duplicate slice",
    "tilt": "gantry tilt of 21.8 degrees",
    "two_series": "holds 2 scans: two_series/3~",
    "trillion.dcm": "declares 60000 x 60000 x 300 voxels",
    "short.dcm": "is truncated",
    "zero.dcm": "is empty",
    "text.dcm": "is not a DICOM file",
    "truncated.dcm": "cannot be decoded",
    "deflate_bomb.dcm": "a bomb, not a scan",
    "jpeg_ls_bomb.dcm": "bomb",
    "zero.zip": "cannot be unpacked",
    "text.zip": "cannot be unpacked",
    "bomb.zip": "holds 1 file of 268435457 bytes",
    "truncated.zip": "cannot be unpacked",
}
PEAK = """
def peak():  # megabytes; ru_maxrss would be the parent's
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
"""
READ_ALL = (
    PEAK
    + """
import json, sys, time
from maescan.errors import MaescanError
from maescan.scans import read_scan
def attempt(path):
    start = time.process_time()
    try:
        found = str(read_scan(path).shape)
    except MaescanError as error:
        found = str(error)
    return found, time.process_time() - start, peak()
for path in sys.argv[1:]:
    print(json.dumps([path, *attempt(path)]))
"""
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What one process says of every file: {name: (message, seconds, peak MB so far)}."""
    pytest.importorskip("SimpleITK")
    root = tmp_path_factory.mktemp("torture")
    warm = [write_nifti(root / "warm.nii.gz"), write_series(root / "warm")[0]]
    for make in (make_nifti, make_itk, make_dicom, make_zip):
        make(root)
    paths = [str(path) for path in (*warm, *(root / name for name in EXPECTED))]
    done = subprocess.run([sys.executable, "-c", READ_ALL, *paths], capture_output=True, text=True, check=True)
    assert not done.stderr
    return {Path(path).name: outcome for path, *outcome in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", EXPECTED)
def test_torture(outcomes, name):
    message, seconds, megabytes = outcomes[name]
    assert EXPECTED[name] in message and name in message
    assert message.endswith(")") and "\n" not in message
    assert seconds < SECONDS and megabytes < MEGABYTES


def test_unreadable_permissions(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "a.nii")

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", denied)
    with pytest.raises(ScanError, match=r"a\.nii: cannot be read: Permission denied"):
        read_scan(path)


def test_shuffled_names_do_not_matter(tmp_path):
    files = write_series(tmp_path)
    for file, name in zip(files, "qzcaxb", strict=True):
        file.rename(tmp_path / f"{name}.dcm")
    assert np.array_equal(read_scan(tmp_path).voxels, VALUES.transpose(2, 1, 0))


READ_ONE = (
    PEAK
    + """
import sys
from maescan.scans import read_scan
read_scan(sys.argv[1])
before = peak()
read_scan(sys.argv[2])
print(peak() - before)
"""
)


FORMATS = ["a.nii.gz", "a.nii", "a.mha", "a.nrrd"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stored"), [*product(FORMATS, [">i2", "<f4", "<f8"]), ("dicom", "<i2")])
def test_peak_memory_of_a_read_is_at_most_two_and_a_half_arrays(tmp_path, name, stored):
    values = np.random.default_rng(0).integers(0, 999, (32, 512, 512)).astype(stored)
    small, large = tmp_path / f"small_{name}", tmp_path / f"large_{name}"
    for path, part in ((small, values[:2]), (large, values)):
        write_as(path, part)
    done = subprocess.run([sys.executable, "-c", READ_ONE, small, large], capture_output=True, text=True, check=True)
    assert 0.4 * values.nbytes < float(done.stdout) * 2**20 < 2.5 * values.nbytes


def write_as(path: Path, values: np.ndarray) -> None:
    native = values.astype(values.dtype.newbyteorder("="))
    if "nii" in path.name:
        header = nibabel.Nifti1Header(endianness=">" if values.dtype.byteorder == ">" else "<")
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4), header, dtype=values.dtype), path)
    elif "dicom" in path.name:
        write_series(path, native)
    else:
        sitk = pytest.importorskip("SimpleITK")
        sitk.WriteImage(sitk.GetImageFromArray(native), str(path), True)
