"""Files as plain bytes, compressed or not, with damage told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from maescan.errors import ScanError
from maescan.scans.packed import DEFLATED, inflated, packing_of
from maescan.scans.sizes import SLACK, check_deflated, check_length, check_packed
from maescan.scans.voxels import Voxels


def packing(path: Path) -> str:
    """What the file is compressed by ('' where it is plain), by its first bytes, whatever it is called."""
    with open_plain(path) as stream:
        return packing_of(stream.read(6))


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
    """The file inflated, or as it is where it is not compressed. Raises ScanError for a damaged one."""
    kind = packing(path)
    with open_plain(path) as raw:
        if not kind:
            yield raw
            return
        with inflated(raw, kind, path) as stream:
            yield stream


def read_voxels(path: Path, dtype: np.dtype, size: int, start: int, end: int) -> Voxels:
    """`size` voxels from byte `start` of the (inflated) file, whose declared data end at byte `end`.

    Raises ScanError where the file is too short, far too long, or a bomb; before memory is taken, if it can."""
    kind = packing(path)
    check_declared = check_length if not kind else check_deflated if kind in DEFLATED else check_packed
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
