"""Files as plain bytes, gzipped or not, with damage told in one line."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from maescan.errors import ScanError
from maescan.scans.sizes import SLACK, check_deflated, check_length
from maescan.scans.voxels import Voxels

GZIP = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """By its first bytes, whatever it is called."""
    with open_plain(path) as stream:
        return stream.read(2) == GZIP


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The file as it is. Raises ScanError where it cannot be opened or read."""
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        if error.errno is None:  # BadGzipFile of a reader on top
            raise
        raise ScanError(f"cannot be read: {error.strerror or error}", path=path, remedy="check the file") from error


@contextmanager
def open_inflated(path: Path) -> Iterator[BinaryIO]:
    """The file inflated by igzip, or as it is where it is not gzipped. Raises ScanError for a damaged one."""
    from isal import igzip, igzip_lib

    if not is_gzip(path):
        with open_plain(path) as stream:
            yield stream
        return
    try:
        with open_plain(path) as raw, igzip.open(raw, "rb") as stream:
            yield cast(BinaryIO, stream)
    except (EOFError, zlib.error, igzip_lib.IsalError, igzip.BadGzipFile) as error:  # type: ignore[misc]
        raise ScanError(f"has damaged gzip data: {error}", path=path, remedy="copy it again") from error


def read_voxels(path: Path, dtype: np.dtype, size: int, start: int, end: int) -> Voxels:
    """`size` voxels from byte `start` of the (inflated) file, whose declared data end at byte `end`.

    Raises ScanError where the file is too short, far too long, or a bomb; before memory is taken, if it can."""
    check_declared = check_deflated if is_gzip(path) else check_length
    with open_inflated(path) as stream:
        check_declared(end, path.stat().st_size, path)
        voxels = Voxels(size, dtype)
        stream.seek(start)
        done = start + voxels.fill(stream.readinto)  # type: ignore[attr-defined]
        if done < start + size * dtype.itemsize:
            check_length(end, done, path)
        if done == end:  # reading on to the end also checks gzip's own checksum
            check_length(end, done + len(stream.read(SLACK + 1)), path)
    return voxels
