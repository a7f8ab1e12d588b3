"""Compressed data as a stream of plain bytes, with its checksums checked: gzip, zlib, bzip2, xz and Zstandard."""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from maescan.errors import ScanError

PIECE = 2**18
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz"}
DEFLATED = ("gzip", "zlib")
"""What no more than `sizes.DEFLATE` bytes come out of for one that goes in."""
DAMAGED = "copy it again from its source"


def packing_of(start: bytes) -> str:
    """What a file is compressed by, told from its first bytes, whatever it is called; '' for plain ones."""
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "")


@contextmanager
def inflated(raw: BinaryIO, kind: str, path: Path) -> Iterator[BinaryIO]:
    """`raw`, from where it stands, decompressed; `kind` as `packing_of` says, or 'zlib'. Raises ScanError where the
    data are damaged or cut, and where Zstandard is not installed."""
    try:
        yield _open(raw, kind, path)
    except (EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise _damaged(kind, error, path) from error
    except OSError as error:
        if error.errno is not None and not type(error).__name__.startswith("Bad"):
            raise
        raise _damaged(kind, error, path) from error
    except Exception as error:  # the errors of isal and of zstd have bases of their own
        if type(error).__name__ not in ("IsalError", "ZstdError"):
            raise
        raise _damaged(kind, error, path) from error


def _damaged(kind: str, error: BaseException, path: Path) -> ScanError:
    return ScanError(f"has damaged {kind} data: {error}", path=path, remedy=DAMAGED)


def _open(raw: BinaryIO, kind: str, path: Path) -> BinaryIO:
    if kind == "gzip":
        from isal import igzip

        return cast(BinaryIO, igzip.open(raw, "rb"))
    if kind == "bzip2":
        import bz2

        return cast(BinaryIO, bz2.BZ2File(raw))
    if kind == "xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if kind == "zstd":
        return _zstd(raw, path)
    from isal import isal_zlib

    return cast(BinaryIO, _Inflating(raw, isal_zlib.decompressobj))


def _zstd(raw: BinaryIO, path: Path) -> BinaryIO:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # before Python 3.14
        try:
            from backports import zstd
        except ImportError as error:
            remedy = "pip install backports.zstd"
            raise ScanError("is compressed by Zstandard", path=path, remedy=remedy) from error
    return cast(BinaryIO, zstd.ZstdFile(raw))


class _Decompressor(Protocol):
    eof: bool
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflating(io.RawIOBase):
    """One zlib stream; the checksum is checked where it ends. What follows it is not read."""

    def __init__(self, raw: BinaryIO, make: Callable[[], _Decompressor]):
        self._raw, self._inflater, self._waiting = raw, make(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        while view.nbytes and not self._inflater.eof:
            given = self._waiting or self._raw.read(PIECE)
            piece = self._inflater.decompress(given, view.nbytes)  # of nothing: what it has and has not given yet
            self._waiting = self._inflater.unconsumed_tail
            if piece:
                view[: len(piece)] = piece
                return len(piece)
            if not given and not self._inflater.eof:
                raise EOFError("it ends before its end mark")
        return 0
