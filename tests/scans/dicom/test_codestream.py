"""What compressed frames say of themselves."""

from __future__ import annotations

import pytest

from helpers.scan_files import VALUES, dicom_slice, save
from maescan.errors import ScanError
from maescan.scans import read_scan


@pytest.mark.parametrize(
    ("syntax", "marker", "place"), [("JPEG2000Lossless", b"\xff\x4f\xff\x51", 8), ("JPEGLSLossless", b"\xff\xf7", 5)]
)
def test_a_frame_may_not_declare_another_size_than_the_header(tmp_path, syntax, marker, place):
    import pydicom.uid

    dataset = dicom_slice(VALUES[0].repeat(8, 0).repeat(8, 1), (0, 0, 0), BitsStored=12, HighBit=11)
    dataset.compress(getattr(pydicom.uid, syntax))
    data = bytearray(save(dataset, tmp_path / "a.dcm").read_bytes())
    data[data.index(marker) + place] = 0x77  # the first byte of its width or height
    (tmp_path / "a.dcm").write_bytes(data)
    with pytest.raises(ScanError, match=r"a\.dcm: a frame of \d+ x \d+ x 1 in an image of 40 x 32"):
        read_scan(tmp_path)
