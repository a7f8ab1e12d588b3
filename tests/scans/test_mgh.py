"""FreeSurfer's MGH, the same voxels in the same places as nibabel reads."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6)

AFFINE = np.array([[0, 0, 3.0, 1], [2, 0, 0, 5], [0, -1.5, 0, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_freesurfer(tmp_path, name, dtype):
    nibabel.save(nibabel.MGHImage(VALUES.astype(dtype), AFFINE), tmp_path / name)
    (source,) = find_scans(tmp_path)
    scan = read_scan(source)
    assert np.array_equal(scan.voxels, VALUES) and np.allclose(scan.affine, AFFINE, atol=1e-5)
    assert (scan.format, scan.warnings) == ("mgh", ())


def test_freesurfer_without_orientation_is_a_guess(tmp_path):
    nibabel.save(nibabel.MGHImage(VALUES, AFFINE), tmp_path / "a.mgh")
    data = bytearray((tmp_path / "a.mgh").read_bytes())
    data[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(data)
    scan = read_scan(tmp_path / "a.mgh")
    assert scan.orientation == "LIA" and scan.warnings[0].startswith("has no orientation: taken as LIA")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "is truncated"),
        (lambda data: b"\0\0\0\2" + data[4:], "is not a FreeSurfer volume"),
        (lambda data: data[:4] + b"\x7f" * 12 + data[16:], "declares"),
        (lambda data: data[:20] + b"\0\0\0\x09" + data[24:], "has a damaged header"),
        (lambda data: data[:16] + b"\0\0\0\2" + data[20:], "holds 2 volumes"),
        (lambda data: b"", "is not a FreeSurfer volume"),
    ],
)
def test_freesurfer_damage(tmp_path, change, reason):
    nibabel.save(nibabel.MGHImage(VALUES, AFFINE), tmp_path / "a.mgh")
    data = (tmp_path / "a.mgh").read_bytes()[: 284 + VALUES.nbytes]
    (tmp_path / "a.mgh").write_bytes(change(data))
    with pytest.raises(ScanError, match=reason):
        read_scan(tmp_path / "a.mgh")
