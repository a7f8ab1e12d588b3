"""Files as plain bytes: never a pipe, never half of one, never one that changed meanwhile."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans.streams import (
    ChangedError,
    content_hash,
    not_watched,
    open_inflated,
    open_plain,
    packing,
    read_voxels,
    unchanged,
)

VALUES = np.arange(120, dtype="<i2")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"head" + VALUES.tobytes())
    return path


def test_plain_and_compressed_files_are_told_by_their_bytes(file, tmp_path):
    packed = tmp_path / "b.txt"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert (packing(file), packing(packed)) == ("", "gzip")
    for path in (file, packed):
        with open_inflated(path) as stream:
            assert stream.read() == file.read_bytes()


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, reason in {
        "pipe": "is not a file",
        ".": "is a folder",
        "link": "No such file",
        "no": "No such",
    }.items():
        with pytest.raises(ScanError, match=reason), open_plain(tmp_path / name):
            pass
    with pytest.raises(ScanError, match="is not a file"), open_plain(Path(os.devnull)):
        pass


@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_from_a_place_in_the_file(file, compressed):
    end = 4 + VALUES.nbytes
    if compressed:
        file.write_bytes(gzip.compress(file.read_bytes()))
    assert np.array_equal(read_voxels(file, VALUES.dtype, 120, 4, end).array, VALUES)
    assert np.array_equal(read_voxels(file, VALUES.dtype, 20, 204, end).array, VALUES[100:])


@pytest.mark.parametrize("compressed", [False, True])
def test_too_short_and_far_too_long_are_refused(file, compressed):
    def read(content, size):
        file.write_bytes(gzip.compress(content) if compressed else content)
        return read_voxels(file, VALUES.dtype, size, 0, 2 * size)

    noise = np.random.default_rng(0).integers(0, 256, 2**17, np.uint8).tobytes()
    assert np.array_equal(read(VALUES.tobytes() + b"padding", 120).array, VALUES)
    with pytest.raises(ScanError, match="is truncated: its header declares 242 bytes, it has 240"):
        read(VALUES.tobytes(), 121)
    with pytest.raises(ScanError, match=r"bytes more than its header declares|far more than the 240"):
        read(VALUES.tobytes() + noise, 120)


def test_the_checksum_behind_the_voxels_is_checked(file):
    data = bytearray(gzip.compress(VALUES.tobytes()))
    data[-6] ^= 1
    file.write_bytes(data)
    with pytest.raises(ScanError, match="damaged gzip data"):
        read_voxels(file, VALUES.dtype, 120, 0, 240)


def test_the_hash_is_of_the_files_in_their_order(file, tmp_path):
    other = tmp_path / "b.bin"
    other.write_bytes(b"other")
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (file, other)]
    assert content_hash([file, other]) == hashlib.sha256(b"".join(digests)).hexdigest()
    assert content_hash([file, other]) != content_hash([other, file])


def test_a_file_that_changes_inside_is_found(file):
    known = {}
    with unchanged(known), open_plain(file):
        pass
    assert list(known) == [str(file)]
    with unchanged(known), open_plain(file):
        pass
    for harm, reason in ((lambda: file.write_bytes(b"new"), "changed while"), (file.unlink, "went away while")):
        with pytest.raises(ChangedError, match=reason), unchanged({}):
            with open_plain(file):
                pass
            harm()


def test_a_change_is_why_reading_failed(file):
    with pytest.raises(ChangedError, match="changed while"), unchanged({}):
        with open_plain(file):
            pass
        file.write_bytes(b"new")
        raise ScanError("is truncated", path=file, remedy="")


def test_files_of_our_own_may_change(file):
    with unchanged({}), not_watched():
        with open_plain(file):
            pass
        file.write_bytes(b"new")
