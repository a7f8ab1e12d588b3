"""MINC 1 and 2, the same voxels in the same places as nibabel reads."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans import read_scan

SAMPLES = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.mark.parametrize("name", ["tiny.mnc", "small.mnc", "minc2_1_scale.mnc", "minc1_4d.mnc"])
def test_minc(name):
    if not (SAMPLES / name).exists():
        pytest.skip("nibabel was installed without its test files")
    if name.startswith("minc2"):
        pytest.importorskip("h5py")
    image = nibabel.load(SAMPLES / name)
    scan = read_scan(SAMPLES / name, volume=1 if "4d" in name else None)
    values = image.get_fdata()[1] if "4d" in name else image.get_fdata()
    assert np.allclose(scan.voxels, values, rtol=1e-6) and np.allclose(scan.affine, image.affine)


@pytest.mark.parametrize("content", [b"text" * 99, b"CDF\1" + bytes(99), b"\x89HDF" + bytes(99)])
def test_what_is_no_minc(tmp_path, content):
    (tmp_path / "a.mnc").write_bytes(content)
    with pytest.raises(ScanError, match=r"a\.mnc: is (not|a damaged|MINC 2)"):
        read_scan(tmp_path / "a.mnc")
