"""Compressed bytes: told by their first ones, checked to their last."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.packed import inflated, packing_of

PLAIN = np.random.default_rng(0).integers(0, 9, 3 * 2**18, np.uint8).tobytes()  # more than one piece
PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress}
PATH = Path("a.nii.gz")


@functools.cache
def packed(kind):
    return PACK[kind](PLAIN)


def unpack(data, kind):
    with inflated(io.BytesIO(data), kind, PATH) as stream:
        return b"".join(iter(lambda: stream.read(100_000), b""))


def zstd():
    return pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


@pytest.mark.parametrize("kind", PACK)
def test_what_was_packed_comes_out(kind):
    data = packed(kind)
    assert packing_of(data) == (kind if kind != "zlib" else "") and packing_of(PLAIN) == packing_of(b"") == ""
    assert unpack(data, kind) == PLAIN


def test_zstandard():
    data = zstd().compress(PLAIN)
    assert packing_of(data) == "zstd" and unpack(data, "zstd") == PLAIN
    with pytest.raises(ScanError, match="has damaged zstd data"):
        unpack(data[:-99], "zstd")


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign"])
def test_damage_is_one_line(kind, harm):
    data = bytearray(packed(kind))
    if harm == "flipped":
        data[-6 if kind != "zlib" else -2] ^= 1  # of the checksum
    with pytest.raises(ScanError, match=rf"a\.nii\.gz: has damaged {kind} data: .*copy it again") as error:
        unpack({"cut": bytes(data[:-99]), "flipped": bytes(data), "foreign": b"x" * 99}[harm], kind)
    assert "\n" not in str(error.value)


def test_what_follows_a_zlib_stream_is_not_read():
    assert unpack(zlib.compress(b"voxels") + b"more", "zlib") == b"voxels"


@pytest.mark.parametrize("kind", PACK)
def test_what_is_asked_for_in_small_pieces_comes_whole(kind):
    """A decompressor that has all of its input may hold output back."""
    with inflated(io.BytesIO(PACK[kind](PLAIN[:999])), kind, PATH) as stream:
        assert b"".join(iter(lambda: stream.read(7), b"")) == PLAIN[:999]


def test_an_error_of_the_disk_stays_one():
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"), inflated(Broken(), "bzip2", PATH) as stream:
        stream.read(1)


def test_zstandard_that_is_not_installed_comes_with_its_command(monkeypatch):
    for name in ("compression", "compression.zstd", "backports", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ScanError, match=r"pip install backports\.zstd"):
        unpack(b"", "zstd")
