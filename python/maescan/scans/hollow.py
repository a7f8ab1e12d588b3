"""Files that have a slice's name and not its content: transfers that failed, and pointers to what was not fetched."""

from __future__ import annotations

import re
from pathlib import Path

from maescan.errors import ScanError
from maescan.scans.streams import open_plain

SHORTEST = 132
"""Bytes before which a DICOM file has not begun."""
POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("is a git-lfs pointer without its content", "git lfs pull"),
    b"/annex/objects/": ("is a git-annex pointer without its content", "git annex get it"),
}
POINTER_BYTES = 2**12
"""No pointer is longer."""
PLAIN_NAME = re.compile(r"[^.]+(\.\d+)*|(\w+\.)?[\d.]+|.+\.(dcm|ima)(\.gz)?", re.IGNORECASE)
"""Names of slices: no extension, numbers for one, or DICOM's."""


def pointer_at(path: Path) -> ScanError | None:
    """What is wrong with a link to nowhere, or with a pointer file of git-annex or git-lfs; None for other files."""
    try:
        size = path.stat().st_size
    except OSError:
        if not path.is_symlink():
            return None
        if "annex/objects" in path.readlink().as_posix():
            return ScanError("is a git-annex link without its content", path=path, remedy="git annex get it")
        return ScanError("is a link to nowhere", path=path, remedy="fetch what it leads to, or remove it")
    if not 0 < size <= POINTER_BYTES or not path.is_file():
        return None
    start = _start(path, 64)
    for mark, (reason, remedy) in POINTERS.items():
        if start.startswith(mark):
            return ScanError(reason, path=path, remedy=remedy)
    return None


def hollow(path: Path) -> str:
    """Why a file without a scan's content looks like a slice that was lost: '' where it does not."""
    if error := pointer_at(path):
        return error.reason
    try:
        size = path.stat().st_size
    except OSError:
        return ""
    if not size:
        return "is empty"
    try:
        with open_plain(path) as stream:
            start = stream.read(4096)
    except (ScanError, OSError) as error:
        return error.reason if isinstance(error, ScanError) else f"cannot be read: {error.strerror}"
    if not start.strip(b"\0"):
        return "holds only zeros" if size >= SHORTEST else "is cut short"
    return "is cut short" if size < SHORTEST and not start.isascii() else ""


def slice_like(path: Path) -> bool:
    """Whether a name is one that slices have; of those without an extension, with a number in it."""
    return PLAIN_NAME.fullmatch(path.name) is not None and any(c.isdigit() for c in path.name)


def _start(path: Path, count: int) -> bytes:
    try:
        with open_plain(path) as stream:
            return stream.read(count)
    except (ScanError, OSError):
        return b""
