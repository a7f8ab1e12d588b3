"""Pixels of every transfer syntax."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import VALUES, dicom_slice, save, write_series
from maescan.errors import ScanError
from maescan.scans import read_scan


@pytest.mark.parametrize(
    "syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "DeflatedExplicitVRLittleEndian"]
)
def test_compressed_syntaxes(tmp_path, syntax):
    import pydicom.uid

    uid = getattr(pydicom.uid, syntax)
    big = VALUES.repeat(8, 1).repeat(8, 2)
    for i, values in enumerate(big):
        dataset = dicom_slice(values, (0, 0, i), BitsStored=12, HighBit=11)
        if uid.is_deflated:
            dataset.file_meta.TransferSyntaxUID = uid
        else:
            dataset.compress(uid)
        save(dataset, tmp_path / f"{i}.dcm")
    assert np.array_equal(read_scan(tmp_path).voxels, big.transpose(2, 1, 0))


def test_pixels_that_cannot_be_decoded_name_their_file(tmp_path):
    file = write_series(tmp_path)[2]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ScanError, match=r"002\.dcm: its pixels cannot be decoded"):
        read_scan(tmp_path)
