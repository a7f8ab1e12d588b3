"""DICOM beside dcm2niix: the same volumes in the same places."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.scan_files import UID, dicom_slice, save, write_series
from maescan.scans import Scan, find_scans, read_scan

dcm2niix = pytest.importorskip("dcm2niix")
pytest.importorskip("pydicom")
VALUES = np.random.default_rng(0).integers(0, 900, (12, 20, 16)).astype(np.int16)
FRAME = {"StudyInstanceUID": UID + "5", "FrameOfReferenceUID": UID + "6", "PatientID": "A", "Modality": "MR"}
FRAME |= {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}


def converted(folder: Path, out: Path) -> list[nibabel.Nifti1Image]:
    """What dcm2niix makes of a folder, in RAS."""
    out.mkdir()
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%s_%r", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return [nibabel.as_closest_canonical(nibabel.load(file)) for file in sorted(out.glob("*.nii"))]


def canonical(scan: Scan) -> nibabel.Nifti1Image:
    values = scan.voxels * np.float64(scan.slope) + scan.intercept
    return nibabel.as_closest_canonical(nibabel.Nifti1Image(values, scan.affine))


def assert_same(folder: Path, out: Path, count: int) -> None:
    ours, theirs = [canonical(read_scan(source)) for source in find_scans(folder)], converted(folder, out)
    assert len(ours) == len(theirs) == count
    for mine in ours:
        assert any(
            mine.shape == other.shape
            and np.allclose(mine.get_fdata(), other.get_fdata(), atol=1e-3)
            and np.allclose(mine.affine, other.affine, atol=1e-3)
            for other in theirs
        )


def slices(folder: Path, values: np.ndarray, of: object, *, first: int = 0, **tags: object) -> None:
    """One file a slice; `of` gives the tags of each."""
    for k, image in enumerate(values):
        position = tags.get("ImagePositionPatient", [-10.0, -20.0, 3.0 * k])
        own = {**FRAME, "InstanceNumber": first + k + 1, **tags, **of(k), "ImagePositionPatient": position}
        save(dicom_slice(image, position, **own), folder / f"{first + k:03}.dcm")


@pytest.mark.parametrize(
    "of",
    [
        lambda k: {},
        lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"] + ["NORM"] * (k % 2)},
        lambda k: {"RescaleSlope": 1 + k, "RescaleIntercept": -k},
        lambda k: {"BitsStored": 12, "HighBit": 11},
    ],
)
def test_one_series(tmp_path, of):
    slices(tmp_path / "in", VALUES, of)
    assert_same(tmp_path / "in", tmp_path / "out", 1)


@pytest.mark.parametrize("syntax", ["ExplicitVRBigEndian", "ImplicitVRLittleEndian"])
def test_transfer_syntaxes(tmp_path, syntax):
    from pydicom import uid

    values = VALUES.astype(">i2") if "Big" in syntax else VALUES
    slices(tmp_path / "in", values, lambda k: {"TransferSyntaxUID": getattr(uid, syntax)})
    assert_same(tmp_path / "in", tmp_path / "out", 1)


def test_two_patients_with_one_series_uid(tmp_path):
    slices(tmp_path / "in", VALUES, lambda k: {})
    other = {"StudyInstanceUID": UID + "7", "FrameOfReferenceUID": UID + "8", "PatientID": "B"}
    slices(tmp_path / "in", VALUES + 1, lambda k: other, first=50)
    assert len(find_scans(tmp_path / "in")) == 2
    assert [read_scan(source).shape for source in find_scans(tmp_path / "in")] == [(16, 20, 12)] * 2


def test_two_echoes(tmp_path):
    slices(tmp_path / "in", VALUES, lambda k: {"EchoTime": 20, "EchoNumbers": 1})
    slices(tmp_path / "in", VALUES + 1, lambda k: {"EchoTime": 80, "EchoNumbers": 2}, first=50)
    assert_same(tmp_path / "in", tmp_path / "out", 2)


def test_an_oblique_stack(tmp_path):
    turn = np.deg2rad(25)
    rows, columns = [np.cos(turn), 0, np.sin(turn)], [0, 1, 0]
    normal = np.cross(rows, columns)
    tags = {**FRAME, "ImageOrientationPatient": [*rows, *columns]}
    write_series(tmp_path / "in", VALUES, step=[float(f"{x:.6f}") for x in 3 * normal], **tags)
    assert_same(tmp_path / "in", tmp_path / "out", 1)
