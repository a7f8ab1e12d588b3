"""Slices whose content is missing, and names that slices have."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from helpers.scan_files import write_series
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan
from maescan.scans.hollow import hollow, pointer_at, slice_like

ANNEX = b"/annex/objects/MD5E-s9999--0123456789abcdef.nii.gz\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (bytes(100), "is cut short"),
        (bytes(9000), "holds only zeros"),
        (b"\x08\0\x05\0\xff\xfe", "is cut short"),
        (ANNEX, "is a git-annex pointer without its content"),
        (LFS, "is a git-lfs pointer without its content"),
        (b"just text", ""),
        (bytes(128) + b"DICM" + bytes(300), ""),
    ],
)
def test_why_a_file_is_hollow(tmp_path, content, reason):
    (tmp_path / "IM1").write_bytes(content)
    assert hollow(tmp_path / "IM1") == reason


@pytest.mark.parametrize(
    ("target", "reason", "remedy"),
    [
        ("../.git/annex/objects/xx/MD5E-s9--a", "is a git-annex link without its content", "git annex get it"),
        ("gone", "is a link to nowhere", "fetch what it leads to, or remove it"),
        ("a", "is a link to nowhere", "fetch what it leads to, or remove it"),
    ],
)
def test_links_to_nowhere(tmp_path, target, reason, remedy):
    (tmp_path / "a").symlink_to(target)
    error = pointer_at(tmp_path / "a")
    assert error is not None and (error.reason, error.remedy) == (reason, remedy)


def test_a_slice_on_a_bad_sector_is_no_slice_of_zeros(tmp_path, monkeypatch):
    """The disk's own word stands in its row, and its series says that it lacks it."""
    pytest.importorskip("pydicom")
    bad = write_series(tmp_path / "s")[-1].rename(tmp_path / "s" / "I005")
    others = [file.rename(file.with_name(f"I{file.stem}")) for file in (tmp_path / "s").glob("*.dcm")]

    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    real = os.fdopen

    def opened(handle, *arguments):
        return Broken() if os.readlink(f"/proc/self/fd/{handle}") == str(bad) else real(handle, *arguments)

    monkeypatch.setattr(os, "fdopen", opened)
    series, lost = sorted(find_scans(tmp_path), key=lambda source: -len(source.files))
    assert set(series.files) == set(others) and series.incomplete
    (note,) = series.notes
    assert note == "incomplete: 1 file beside it cannot be read: 'I005' cannot be read: Input/output error"
    assert lost.files == (bad,)
    with pytest.raises(ScanError, match=r"I005: cannot be read: Input/output error"):
        read_scan(lost)


def test_a_file_that_is_gone_is_no_pointer(tmp_path):
    assert pointer_at(tmp_path / "gone") is None and hollow(tmp_path / "gone") == ""


@pytest.mark.parametrize(
    "name", ["IM0001", "1.2.840.113.7", "MR.1.2.3", "00000001", "I10", "a1.dcm", "x2.IMA", "b3.dcm.gz"]
)
def test_names_of_slices(name):
    assert slice_like(Path(name))


@pytest.mark.parametrize("name", ["README", "LOCK", "_SUCCESS", "notes1.txt", "a1.json", "p7.nii.gz", "VERSION"])
def test_other_names(name):
    assert not slice_like(Path(name))
