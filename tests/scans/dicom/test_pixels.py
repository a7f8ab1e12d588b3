"""Pixels of every transfer syntax."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scan_files import VALUES, dicom_slice, enhanced, save, write_series
from maescan.errors import ScanError
from maescan.scans import read_scan
from maescan.scans.dicom.pixels import BEYOND, CUT


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


@pytest.mark.parametrize("overlay", [0, 0x8000, 0x3000])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("coded", ["JPEG2000Lossless", "JPEG2000Lossless signed", "JPEGLSLossless", "RLELossless"])
def test_frames_of_more_bits_than_are_stored(tmp_path, coded, signed, overlay):
    """12 bits in a lossless codestream of 16, of either sign, with overlays in the upper four."""
    import pydicom.uid

    syntax, _, signs = coded.partition(" ")
    wanted = np.random.default_rng(0).integers(*((-1000, 900) if signed else (0, 4000)), (4, 32, 32))
    for k, values in enumerate(wanted):
        raw = (values & 0xFFF | overlay * (values % 2)).astype(np.uint16)
        dataset = dicom_slice(raw.view(np.int16) if signs else raw, (0, 0, k))
        dataset.compress(getattr(pydicom.uid, syntax))
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, signed
        save(dataset, tmp_path / f"{k}.dcm")
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.voxels, wanted.transpose(2, 1, 0)) and (CUT in scan.warnings) == (overlay != 0)


@pytest.mark.parametrize(("value", "signed", "overlay"), [(1500, 0, False), (-100, 1, False), (1500, 0, True)])
def test_bits_above_the_stored_ones_are_noted_unless_an_overlay_or_the_sign_explains_them(
    tmp_path, value, signed, overlay
):
    """A scanner that says 10 bits and writes 12."""
    for k in range(3):
        dataset = dicom_slice(np.full((32, 32), value + k, np.int16), (0, 0, k), BitsStored=10, HighBit=9)
        dataset.PixelRepresentation = signed
        if overlay:
            dataset.add_new(0x60000010, "US", 32)
        save(dataset, tmp_path / f"{k}.dcm")
    scan = read_scan(tmp_path)
    assert scan.voxels.max() == (value + 2 if signed else (value + 2) % 1024)
    assert (CUT in scan.warnings) == (not signed and not overlay)


def test_lossy_values_beyond_the_stored_bits_are_noted(tmp_path):
    import pydicom.uid

    for k in range(3):
        dataset = dicom_slice(np.full((32, 32), 4000 + k, np.uint16), (0, 0, k))
        dataset.compress(pydicom.uid.JPEG2000, j2k_psnr=[99])
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
        save(dataset, tmp_path / f"{k}.dcm")
    assert BEYOND in read_scan(tmp_path).warnings


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("volume", [0, 1])
def test_compressed_frames_are_looked_for_once(tmp_path, monkeypatch, table, volume):
    """With a table of offsets and without; all frames, and every second one."""
    from pydicom import dcmread, uid
    from pydicom.pixels.decoders import base

    path = enhanced(tmp_path / "a.dcm", order=[5, 1, 2, 0, 4, 3], echoes=(0, 50))
    dataset = dcmread(path)
    dataset.compress(uid.RLELossless, encapsulate_ext=False)
    if not table:
        from pydicom.encaps import encapsulate, generate_frames

        frames = list(generate_frames(dataset.PixelData, number_of_frames=12))
        dataset.PixelData = encapsulate(frames, has_bot=False)
    save(dataset, path)
    looked = []
    parse = base.get_frame
    monkeypatch.setattr(base, "get_frame", lambda *given, **more: looked.append(1) or parse(*given, **more))
    assert np.array_equal(read_scan(path, volume=volume).voxels, (VALUES + 50 * volume).transpose(2, 1, 0))
    assert len(looked) == (6 if table else 0)
