"""Bytes of files that are no scans (JSON, tables, keys, options): a pipe is never waited for, a device never read."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

MOST = 2**30
"""Bytes of a file that is read whole: a list of 2 million candidates has 200 MB."""


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """A file to read. Raises OSError, and for what is there but no file."""
    _check(Path(path).stat(), path)  # opening a tape drive rewinds it
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(handle, "rb") as stream:
        _check(os.fstat(handle), path)
        yield stream


def read_content(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes. Raises OSError as `opened`, and for over MOST."""
    with opened(path) as stream:
        if os.fstat(stream.fileno()).st_size > MOST:
            raise OSError(errno.EFBIG, f"is larger than {MOST >> 30} GiB", str(path))
        return stream.read()


def read_text(path: str | os.PathLike[str], errors: str = "strict") -> str:
    """A file's text, of UTF-8, without the mark that Windows puts before it. Raises OSError as `read_content`, and
    UnicodeDecodeError."""
    return read_content(path).decode("utf-8-sig", errors)


def sha256(path: str | os.PathLike[str]) -> str:
    """Of a file of any size. Raises OSError as `opened`."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def may_be_there(path: str) -> bool:
    """Whether something lies at a path, as far as can be told: where a folder on the way to it may not be searched,
    or a share does not answer, nobody knows."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def _check(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a file", str(path))
