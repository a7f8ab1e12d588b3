"""Folders that one run at a time writes several files into: it says what it replaces, and leaves none of it there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from maescan.errors import DataError, escaped, unwritten
from maescan.files import OUTPUT, PARTIAL, atomic_file, claim, printable, write_json, written_into
from maescan.records import Record, read

LOCK = f"{OUTPUT}/lock"
IN_PLACE = "free space, see who may write there, or take a copy that you may write into"
KEPT = {"kind", "lock"}
"""What a run has in its folder's mark before it has written anything."""


class Written(Record, frozen=True):
    """What a run wrote. about: of what, for people; files: their names, `*` for any part."""

    about: str
    files: list[str]


@dataclass(frozen=True)
class Taken:
    """An output folder that is this run's alone. replaces: one line about what an earlier run left in it, "" where
    that is nothing."""

    out: Path
    record: Path
    earlier: tuple[str, ...]
    replaces: str

    def replace(self, files: Sequence[str], about: str) -> None:
        """Before `files` are written: takes away those of the earlier run, and keeps what the next one will say."""
        with written_into(self.out):
            for file in _there(self.out, self.earlier):
                file.unlink(missing_ok=True)
        write_json(self.record, {"about": printable(about), "files": list(files)})


@contextlib.contextmanager
def taken(
    out: Path,
    kind: str,
    *,
    before: Sequence[str] = (),
    name: str = "written",
    listen: Callable[[str], None] | None = None,
) -> Iterator[Taken]:
    """Takes `out` as `files.claim` does, for one run; it is told what it replaces. A new folder, and those above it,
    go again where the run fails with nothing in it. Raises as `claim`, and DataError while another run writes there.

    before: what a run may have written that kept no record; name: of the record, where a folder holds several
    things that are replaced each by itself."""
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    claim(out, kind)
    held = lock(out)
    try:
        known, record = None, out / OUTPUT / f"{name}.json"
        with contextlib.suppress(DataError):
            known = read(Written, record, remedy="") if record.is_file() else None
        earlier = tuple(known.files if known else before)
        about = f": {known.about}" if known and known.about else ""
        replaces = escaped(f"{out}: replaces {kind} of before{about}") if _there(out, earlier) else ""
        if replaces and listen:
            listen(replaces)
        yield Taken(out, record, earlier, replaces)
    except BaseException:
        if new:
            _leave(out)
            for folder in new[1:]:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise
    finally:
        held.close()


def as_folder(path: str, flags: int) -> int:
    """What `open` opens by: a new file is open to whom its folder is open to."""
    return os.open(path, flags, 0o666 & Path(path).parent.stat().st_mode)


def lock(out: Path) -> IO[str]:
    """The lock of a folder that was claimed, until it is closed or its process ends, however that ends. Raises
    DataError while another run has it."""
    try:
        # A link leads elsewhere: nothing is cut off there.
        held = open(out / LOCK, "a", opener=as_folder)  # noqa: SIM115
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=out, remedy=unwritten(error, out)) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(held.fileno()), (out / LOCK).stat()):
            return held
        raise FileNotFoundError  # `_leave` has just taken it away
    except OSError as error:
        held.close()
        raise not_locked(error, out, "another run is writing here", "wait for it or use another --out") from error


def not_locked(error: OSError, folder: Path, held: str, remedy: str) -> DataError:
    """Why a lock was not to be had: another process has it, which `held` says, or the file system has none."""
    if isinstance(error, BlockingIOError | FileNotFoundError):
        return DataError(held, path=folder, remedy=remedy)
    return DataError(f"cannot be locked: {error.strerror}", path=folder, remedy="use a folder on another file system")


def check_free(out: Path) -> None:
    """Raises DataError while another run writes into a folder: before long work, after which `taken` says so too."""
    if (out / LOCK).is_file():
        lock(out).close()


@contextlib.contextmanager
def changed_in_place(folder: Path) -> Iterator[None]:
    """What the disk refuses of a folder that is changed where it lies: no --out helps. Raises DataError."""
    try:
        with written_into(folder):
            yield
    except DataError as error:
        raise DataError(error.reason, path=error.path, remedy=IN_PLACE) from error.__cause__


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """One at a time may change a bundle; others wait. Raises DataError where the disk refuses."""
    with changed_in_place(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for half in folder.glob(f"{PARTIAL}*"):  # of a killed one
                half.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)


@contextlib.contextmanager
def alone(folder: Path, remedy: str) -> Iterator[None]:
    """For one run at a time in a folder that holds no file to lock. Raises DataError while another has it."""
    with written_into(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise not_locked(error, folder, "another run is writing here", remedy) from error
    try:
        yield
    finally:
        os.close(handle)


def check_changeable(folder: Path) -> None:
    """Raises DataError for a folder that nothing may be written into: before long work."""
    with changed_in_place(folder):
        if not os.access(folder, os.W_OK):
            number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number))


def make_own(path: Path) -> None:
    """For a file that is written in place: where it is a link, or has another name too (`cp -al`, `cp -as`), it makes
    way for a copy, so that what lies elsewhere stays as it is. Raises DataError."""
    if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
        with atomic_file(path) as temporary:
            shutil.copyfile(path, temporary)


def _there(out: Path, names: Sequence[str]) -> list[Path]:
    """The files of these names, which may not lead out of the folder."""
    inside = [name for name in names if name and not name.startswith("/") and ".." not in Path(name).parts]
    return sorted({file for name in inside for file in out.glob(name) if file.is_symlink() or file.is_file()})


def _leave(out: Path) -> None:
    """Removes a folder that holds nothing but its mark."""
    mark = out / OUTPUT
    with contextlib.suppress(OSError):
        if [*out.iterdir()] == [mark] and {path.name for path in mark.iterdir()} <= KEPT:
            for name in KEPT:
                (mark / name).unlink(missing_ok=True)
            mark.rmdir()
            out.rmdir()
