"""What names of files promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from maescan.scans.source import format_of, unread


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.nii", "nifti"),
        ("A.NII.GZ", "nifti"),
        ("a.nii.zst", "nifti"),
        ("x.HDR", "nifti"),
        ("a.mgz", "mgh"),
        ("a.mnc", "minc"),
        ("IM1.dcm.gz", "dicom"),
        (".nii", None),
        ("a.gz", None),
        ("a.txt", None),
    ],
)
def test_format_by_extension(name, format):
    assert format_of(Path(name)) == format


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("a.mif", "mrconvert"),
        ("a.mif.gz", "mrconvert"),
        ("a.PAR", "PAR/REC"),
        ("a+orig.BRIK.gz", "AFNI"),
        ("a.img", "its .hdr"),
        ("a.tar.gz", "archive"),
        ("a.mha.gz", "unpack"),
        ("a.txt", ""),
        ("sub-1_physio.tsv.gz", ""),
        ("a.json.bz2", ""),
        (".gz", ""),
    ],
)
def test_what_is_a_scan_and_not_read_says_what_to_do(name, word):
    assert word in unread(Path(name)) and bool(word) == bool(unread(Path(name)))
