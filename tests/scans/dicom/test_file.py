"""Files: without preamble, big endian."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import VALUES, dicom_slice, save
from maescan.scans import read_scan

STORAGE = VALUES.transpose(2, 1, 0)


@pytest.mark.parametrize("explicit", [True, False])
def test_files_without_preamble(tmp_path, explicit):
    for i, values in enumerate(VALUES):
        dataset = dicom_slice(values, (0, 0, i))
        del dataset.file_meta
        dataset.save_as(tmp_path / f"{i}", implicit_vr=not explicit, little_endian=True)
        (tmp_path / f"{i}").write_bytes((tmp_path / f"{i}").read_bytes().removeprefix(bytes(128) + b"DICM"))
    assert np.array_equal(read_scan(tmp_path).voxels, STORAGE)


def test_big_endian(tmp_path):
    from pydicom.uid import ExplicitVRBigEndian

    for i, values in enumerate(VALUES):
        dataset = dicom_slice(values, (0, 0, i), TransferSyntaxUID=ExplicitVRBigEndian)
        dataset.PixelData = values.astype(">i2").tobytes()
        save(dataset, tmp_path / f"{i}.dcm")
    voxels = read_scan(tmp_path).voxels
    assert voxels.dtype.isnative and np.array_equal(voxels, STORAGE)
