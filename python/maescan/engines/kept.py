"""What is compiled once for this machine, in the user's cache: whole or not at all, the oldest goes first."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from maescan.content import read_content
from maescan.errors import DataError
from maescan.machine import cache_folder

KEPT = 16
"""Files of a kind; the one not used for longest goes first."""


def kept(kind: str, key: str) -> bytes | None:
    """What was `keep`t under a key; None where nothing was, or where it is not what was written."""
    file = _file(kind, key)
    with contextlib.suppress(OSError):
        content = read_content(file)
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            with contextlib.suppress(OSError):  # a cache may be there to be read alone
                file.touch()
            return content[32:]
    return None


def keep(kind: str, key: str, content: bytes) -> None:
    """Keeps it: a cache that cannot be written costs time, nothing else."""
    from maescan.files import atomic_file

    file = _file(kind, key)
    with contextlib.suppress(DataError, OSError):
        with atomic_file(file) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        prune(file.parent, f"*{file.suffix}")


def prune(folder: Path, pattern: str) -> None:
    """Leaves the KEPT files that were used last: each release and each bundle adds some."""
    used: dict[Path, int] = {}
    for file in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process may have been faster
            used[file] = file.stat().st_mtime_ns
    for file in sorted(used, key=lambda file: used[file])[:-KEPT]:
        with contextlib.suppress(OSError):
            file.unlink()


def _file(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.{kind}"
