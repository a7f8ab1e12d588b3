"""Temporary folders that do not outlive their process for long: whoever starts next removes those of killed ones."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from multiprocessing.process import current_process
from pathlib import Path

from maescan.errors import ConfigError, DataError, short_of, unwritten
from maescan.files import PARTIAL

PREFIX, NEW, LOCK = "maescan-scratch-", ".maescan-new-", ".lock"
NEW_S = 60.0
"""Seconds that a folder takes at most to get its name."""
SOCKET_BYTES = 108 - len("/listener-01234567") - 1
"""A socket's path is of 107 bytes at most."""


def temporary() -> Path:
    """Where temporary files lie: TMPDIR, or what the system has in its place."""
    return Path(tempfile.gettempdir())


@contextmanager
def scratch_folder(parent: Path | None = None, prefix: str = PREFIX) -> Iterator[Path]:
    """An empty folder that only this user can enter, removed at the end. Raises OSError where there is no room.

    It gets its name when its lock is held, so that nobody takes it for abandoned before. parent: where it lies, by
    default among the temporary files."""
    made = Path(tempfile.mkdtemp(prefix=NEW, dir=parent))
    folder = made.with_name(prefix + made.name.removeprefix(NEW))
    lock = None
    try:
        lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(folder)
        (folder / "files").mkdir()
        yield folder / "files"
    finally:
        for path in (made, folder):
            _remove(path)
        if lock is not None:
            os.close(lock)


@contextmanager
def on_the_way() -> Iterator[Path]:
    """A scratch folder for what is made on the way to an output elsewhere. What the system refuses in it becomes a
    DataError of the temporary folder: no other --out helps, and the file is gone when somebody reads of it."""
    remove_abandoned()
    try:
        with scratch_folder() as folder:
            yield folder
    except (OSError, DataError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        place = (error.path if isinstance(error, DataError) else error.filename2 or error.filename) or ""
        inside = not place or any(part.startswith((NEW, PREFIX)) for part in Path(os.fspath(place)).parts)
        if not isinstance(cause, OSError) or not inside:
            raise
        remedy = f"free {short_of(temporary())} there, or set TMPDIR to a folder elsewhere"
        reason = f"no temporary file can be written: {cause.strerror or cause}"
        raise DataError(reason, path=temporary(), remedy=remedy) from cause


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder on the file system of `path`, for what is to be moved there when it is whole. What killed
    processes left of such folders beside it is removed, and folders made for it that stay empty. What the system
    refuses inside becomes a DataError that names `path`: the folder is gone when somebody reads of it."""
    made = [part for part in path.parents if not part.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent, PARTIAL)
        with scratch_folder(path.parent, PARTIAL) as folder:
            yield folder
    except (OSError, DataError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        place = (error.path if isinstance(error, DataError) else error.filename2 or error.filename) or path
        inside = any(part.startswith((NEW, PARTIAL)) for part in Path(place).parts)
        if not isinstance(cause, OSError) or (isinstance(error, DataError) and not inside):
            raise
        place = path if inside else place
        reason = f"cannot write: {cause.strerror or cause}"
        raise DataError(reason, path=place, remedy=unwritten(cause, place)) from cause
    finally:
        with suppress(OSError):  # something is in it
            for part in made:
                part.rmdir()


@cache
def tidy_up() -> None:
    """Once in a process: removes what killed ones left, and has `multiprocessing` put its sockets where the next one
    finds them, were this one killed. It has no other way to say where. Raises ConfigError where no temporary file can
    be written."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        remedy = "set TMPDIR to a folder that this user can write into"
        raise ConfigError("no folder for temporary files can be written into", remedy=remedy) from error
    remove_abandoned()
    settings = current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001
    if "tempdir" in settings:
        return
    with suppress(OSError), ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        if len(os.fsencode(folder)) <= SOCKET_BYTES:
            settings["tempdir"] = str(folder)
            atexit.register(stack.pop_all().close)


def remove_abandoned(parent: Path | None = None, prefix: str = PREFIX) -> int:
    """Removes the scratch folders of killed processes of this user; how many."""
    removed, place = 0, parent or temporary()
    with suppress(OSError):
        for folder in place.glob(f"{NEW}*"):
            if folder.stat().st_uid == os.getuid() and time.time() - folder.stat().st_mtime > NEW_S:
                _remove(folder)
    for folder in place.glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            with suppress(OSError):  # killed when its lock was gone, it is empty
                folder.rmdir()
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
            removed += 1
        except OSError:  # held: its process lives
            continue
        finally:
            os.close(lock)
    return removed


def _remove(folder: Path) -> None:
    """Its lock goes last: what is killed on the way leaves a folder that the next one knows for abandoned."""
    shutil.rmtree(folder / "files", ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
