"""Temporary folders that do not outlive their process for long: whoever starts next removes those of killed ones."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maescan.files import PARTIAL

PREFIX, LOCK = "maescan-scratch-", ".lock"


@contextmanager
def scratch_folder(parent: Path | None = None, prefix: str = PREFIX) -> Iterator[Path]:
    """An empty folder that only this user can enter, removed at the end. Raises OSError where there is no room.

    It gets its name when its lock is held, so that nobody takes it for abandoned before. parent: where it lies, by
    default among the temporary files."""
    made = Path(tempfile.mkdtemp(prefix=".maescan-new-", dir=parent))
    folder = made.with_name(prefix + made.name.removeprefix(".maescan-new-"))
    lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(folder)
        (folder / "files").mkdir()
        yield folder / "files"
    finally:
        for path in (made, folder):
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder on the file system of `path`, for what is to be moved there when it is whole. What killed
    processes left of such folders beside it is removed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent, PARTIAL)
    with scratch_folder(path.parent, PARTIAL) as folder:
        yield folder


def remove_abandoned(parent: Path | None = None, prefix: str = PREFIX) -> int:
    """Removes the scratch folders of killed processes of this user; how many."""
    removed = 0
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        except OSError:  # held: its process lives
            continue
        finally:
            os.close(lock)
    return removed
