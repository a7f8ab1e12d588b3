"""nibabel without pydicom."""

from __future__ import annotations

import subprocess
import sys

import nibabel
import numpy as np
import pytest

from maescan.scans.worker import PRELOAD

CODE = """
import sys
import maescan.scans.lean
from maescan.scans import read_scan
assert "nibabel" in sys.modules and not {name for name in sys.modules if name.startswith("pydicom")}
scan = read_scan(sys.argv[1])
assert scan.voxels.sum() == 7, scan
import pydicom
"""


def test_readers_start_without_pydicom_and_have_it_when_they_want_it(tmp_path):
    """A header extension of DICOM's, for which nibabel would want it, is passed over."""
    pytest.importorskip("pydicom")
    voxels = np.zeros((8, 8, 8), np.int16)
    voxels[3, 3, 3] = 7
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("dicom", b"\x08\x00\x05\x00CS\x02\x00  "))
    image.to_filename(tmp_path / "scan.nii")
    done = subprocess.run([sys.executable, "-c", CODE, tmp_path / "scan.nii"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert PRELOAD[0] == "maescan.scans.lean", "whatever is imported before it may load nibabel whole"
