from __future__ import annotations

import nibabel
import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.memory import as_scan


def test_simpleitk_counts_in_lps_and_z_first():
    sitk = pytest.importorskip("SimpleITK")
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    scan = as_scan(image)
    assert np.array_equal(scan.voxels, voxels) and scan.spacing == (1, 2, 3)
    assert np.allclose(scan.affine, [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    with pytest.raises(ScanError, match="2 values"):
        as_scan(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 2))


def test_values_are_what_nibabel_says_they_are():
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, 5.0)
    scan = as_scan(nibabel.Nifti1Image.from_bytes(image.to_bytes()))
    assert scan.shape == (4, 5, 6) and np.all(scan.voxels * scan.slope + scan.intercept == 7)


def test_a_path_is_not_in_memory():
    assert as_scan("scan.nii.gz") is None
