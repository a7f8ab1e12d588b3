"""What compressed frames say of themselves."""

from __future__ import annotations

import pytest

from helpers.scan_files import VALUES, dicom_slice, save
from maescan.errors import ScanError
from maescan.scans import read_scan

MPEG = "1.2.840.10008.1.2.4.100"


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


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.110", MPEG, "1.3.46.670589.33.1.4.1"])
def test_a_syntax_that_is_not_decoded_is_named_and_is_no_damage(tmp_path, syntax):
    """JPEG XL, MPEG and a vendor's own: to copy the file again changes nothing."""
    from pydicom.encaps import encapsulate

    image = dicom_slice(VALUES[0], (0, 0, 0), TransferSyntaxUID=MPEG, PixelData=encapsulate([b"video"]))
    image["PixelData"].is_undefined_length = True
    file = save(image, tmp_path / "a.dcm")
    file.write_bytes(file.read_bytes().replace(MPEG.encode(), syntax.ljust(len(MPEG), "\0").encode(), 1))
    with pytest.raises(
        ScanError, match=r"a\.dcm: holds pixels in the transfer syntax '.*', which is not read \(export"
    ):
        read_scan(tmp_path)


def test_a_decoder_that_is_missing_is_no_damage(tmp_path, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    save(dicom_slice(VALUES[0], (0, 0, 0)), tmp_path / "a.dcm")
    monkeypatch.setattr(Decoder, "is_available", False)
    with pytest.raises(ScanError, match=r"for which a decoder is missing \(.*pip install 'maescan\[dicom\]'\)"):
        read_scan(tmp_path)
