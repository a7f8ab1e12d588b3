"""Files as plain bytes, compressed or not, with damage told in one line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

import numpy as np

from maescan.errors import ScanError
from maescan.scans.budget import check_memory
from maescan.scans.packed import DEFLATED, inflated, packing_of
from maescan.scans.sizes import SLACK, check_deflated, check_length, check_packed
from maescan.scans.voxels import Voxels


def packing(path: Path) -> str:
    """What the file is compressed by ('' where it is plain), by its first bytes, whatever it is called."""
    with open_plain(path) as stream:
        return packing_of(stream.read(6))


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """The file as it is; never a pipe or a device, which would be waited on for ever. Raises ScanError where it
    cannot be opened or read, and ChangedError inside `unchanged` where it is not what it was."""
    try:
        with os.fdopen(_open(path), "rb") as stream:
            yield stream
    except OSError as error:
        if error.errno is None:  # BadGzipFile of a reader on top
            raise
        raise ScanError(f"cannot be read: {error.strerror or error}", path=path, remedy="check the file") from error


def _open(path: Path) -> int:
    """Looks before it opens, and at what it has opened: opening a pipe waits, opening a tape drive rewinds it."""
    _check_regular(path.stat(), path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        stat = os.fstat(handle)
        _check_regular(stat, path)
        _check_known(path, stat)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_regular(stat: os.stat_result, path: Path) -> None:
    if S_ISDIR(stat.st_mode):
        raise ScanError("is a folder that cannot be searched", path=path, remedy="check its permissions")
    if not S_ISREG(stat.st_mode):
        raise ScanError("is not a file", path=path, remedy="name a scan, or a folder of scans")


HASHED = 2**20
"""Bytes that are hashed at once."""
Identity = tuple[int, ...]
"""What tells a file that is another, or has changed: device, inode, size, times of its content and its entry."""
_known: ContextVar[dict[str, Identity] | None] = ContextVar("known", default=None)


class ChangedError(ScanError):
    """A file that changed while it was read."""


def _check_known(path: Path, stat: os.stat_result) -> None:
    known = _known.get()
    if known is None:
        return
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if known.setdefault(str(path.absolute()), identity) != identity:
        raise ChangedError("changed while it was read", path=path, remedy="score it when it has come to rest")


@contextmanager
def unchanged(known: dict[str, Identity]) -> Iterator[None]:
    """Files that are opened inside are the same ones each time, and the same as in `known`, to which they are added.
    Raises ChangedError where one is not, at the latest at the end."""
    token = _known.set(known)
    try:
        yield
    finally:  # where reading failed as well: the change may be why
        try:
            for path in known:
                _check_known(Path(path), Path(path).stat())
        except OSError as error:
            raise ChangedError(f"went away while it was read: {error.strerror}", path=path) from error
        finally:
            _known.reset(token)


def content_hash(files: Iterable[Path]) -> str:
    """SHA-256 over the bytes of a scan's files, in the order given. Raises ScanError for one that cannot be read."""
    digest = hashlib.sha256()
    for file in files:
        with open_plain(file) as stream:
            digest.update(_digest(stream))
    return digest.hexdigest()


def _digest(stream: BinaryIO) -> bytes:
    """SHA-256 of as many bytes as the file has now: some (of /proc) have no end, and some grow as fast as they are
    read."""
    digest, left = hashlib.sha256(), os.fstat(stream.fileno()).st_size
    while left and (piece := stream.read(min(left, HASHED))):
        digest.update(piece)
        left -= len(piece)
    return digest.digest()


@contextmanager
def not_watched() -> Iterator[None]:
    """Files of our own, that `unchanged` has no eye on."""
    token = _known.set(None)
    try:
        yield
    finally:
        _known.reset(token)


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
        check_memory(size * max(dtype.itemsize, 4), f"{size} voxels of {dtype.name}", path)
        voxels = Voxels(size, dtype)
        stream.seek(start)
        done = start + voxels.fill(stream.readinto)  # type: ignore[attr-defined]
        if done < start + size * dtype.itemsize:
            check_length(end, done, path)
        if done == end:  # reading on to the end also checks gzip's own checksum
            voxels.rest = len(stream.read(SLACK + 1))
            check_length(end, end + voxels.rest, path)
        elif not kind:
            voxels.rest = path.stat().st_size - end
    return voxels
