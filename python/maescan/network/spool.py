"""The spool: images on disk before they are acknowledged, each under its own name, none ever written over.

in/STUDY/SERIES/INSTANCE.dcm, every part a hash of its UID: what a sender writes into a header is never a path, and
nothing that logs a path logs an identifier.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from maescan import files
from maescan.errors import DataError
from maescan.files import OUTPUT, short_hash
from maescan.folders import not_locked
from maescan.network.journal import Journal, Stored
from maescan.network.same import lacks_pixels, same_data_set
from maescan.scans.dicom.file import refuse_bomb

if TYPE_CHECKING:
    from pydicom import Dataset

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
TAGS = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
SUCCESS, NO_ROOM, MISMATCH, DAMAGED, BAD_UID, UNKEPT = 0x0000, 0xA700, 0xA900, 0xC000, 0x0117, 0x0110
"""Statuses of C-STORE (PS3.4 B.2.3, PS3.7 9.1.1.1.9)."""
REASONS = {
    NO_ROOM: "the disk is full, or it is larger than --max-instance",
    MISMATCH: "it holds another UID than was announced",
    DAMAGED: "it cannot be read: send it again; if deflated, in another syntax",
    BAD_UID: "a UID of instance, class, series or study is missing or false",
    UNKEPT: "the disk here fails, or may not be written: send it again",
}
"""What is said of a refusal, to the sender too: 64 characters at most."""
CHUNK = 1 << 20
HASH = 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def valid_uid(uid: str) -> bool:
    """Whether a UID has the form of one: digits and dots, 64 at most."""
    return len(uid) <= 64 and UID.fullmatch(uid) is not None


class Incoming(io.FileIO):
    """A file that an image is written into as it comes. What does not fit, or finds no file, is dropped, and `fault`
    says so: it must still be taken off the line before it can be refused. thread: the one that takes it."""

    def __init__(self, path: Path, largest: int):
        self.path, self._largest, self.fault = path, largest, 0
        self.thread: int | None = threading.get_ident()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:  # as on a disk that takes no more files, where a sender would be told nothing
            self.fault = error.errno or errno.EIO
            descriptor = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        super().__init__(descriptor, "wb")
        self.name = str(path)  # as tempfile's files have it, and `file`

    @property
    def file(self) -> Incoming:
        """What is written to."""
        return self

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Writes all of it, or notes why not."""
        view = memoryview(data)
        try:
            if not self.fault and self.tell() + len(view) > self._largest:
                raise OSError(errno.EFBIG, "too large")
            while not self.fault and view:
                view = view[super().write(view) :]
        except OSError as error:
            self.fault = error.errno or errno.EIO
            with contextlib.suppress(OSError):
                self.truncate(0)
        return len(data)


class Spool:
    """The spool of an output folder, for the one process that receives into it. Raises DataError where it cannot be
    used, or another receiver uses it. unread: files in it that are in no journal and no images."""

    def __init__(self, out: Path, *, largest: int = 2 << 30):
        self.folder, self._largest = folder_of(out), largest
        self._mutex, self._open = threading.Lock(), dict[Path, Incoming]()
        self._synced, self.unread = set[Path](), 0
        try:
            for folder in (self.folder, self.folder / "in", self.folder / "part"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise DataError(
                f"cannot write: {error.strerror}", path=self.folder, remedy="use another --out"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            reason, remedy = "another receiver uses this spool", "stop it, or use another --out"
            raise not_locked(error, self.folder, reason, remedy) from error
        self.journal = Journal(self.folder)
        self._tidy()

    def incoming(self) -> Incoming:
        """A new file for the next image."""
        path = self.folder / "part" / f"{secrets.token_hex(8)}.dcm"
        found = self._open[path] = Incoming(path, self._largest)
        return found

    def arrived(self, path: Path) -> None:
        """All of an image is there: whatever becomes of its association, it is kept."""
        if path in self._open:
            self._open[path].thread = None

    def drop(self, thread: int | None) -> None:
        """Lets go of what a thread's association was sending when it broke off."""
        for path in [path for path, incoming in list(self._open.items()) if thread and incoming.thread == thread]:
            incoming = self._open.pop(path, None)
            if incoming is not None:
                incoming.close()
                path.unlink(missing_ok=True)

    def keep(self, path: Path, uid: str, association: str) -> int:
        """Keeps the image that was written into `path` and returns the status to answer with: Success once file and
        folder are on disk, and not before. uid: the one that the sender announced."""
        incoming = self._open.pop(path, None)
        try:
            if incoming is not None:
                incoming.close()  # the system may only now say that there is no room
            if incoming is None or incoming.fault:
                return NO_ROOM if incoming is None or incoming.fault in FULL else UNKEPT
            header = read_header(path)
            uids = [str(getattr(header, tag, None) or "") for tag in TAGS]
            valid = all(valid_uid(each) for each in [uid, *uids])
            if valid and uids[1] == uid:
                return self._keep(path, uids, association)
            return MISMATCH if valid else BAD_UID
        except OSError as error:
            return NO_ROOM if error.errno in FULL else UNKEPT
        except sqlite3.Error as error:
            return NO_ROOM if "full" in str(error) else UNKEPT
        except Exception:  # pydicom has no common type for damage
            return DAMAGED
        finally:
            path.unlink(missing_ok=True)

    def _keep(self, path: Path, uids: list[str], association: str) -> int:
        sop_class, uid, study, series = uids
        key = series_key(study, series)
        digest, size = sync(path)
        with self._mutex:
            before = [stored for stored in self.journal.of_uid(uid) if self._is_there(stored)]
            for same in before:
                if same.sha == digest or same_data_set(self.folder / same.path, path):
                    self.journal.sends(association, key, time.time(), same.conflict or same.path)
                    return SUCCESS
            own = [stored for stored in before if stored.series == key]  # another series' image has its own place
            name = short_hash(uid, HASH) + (f"-conflict-{digest.hex()[:8]}" if own else "")
            place = self.folder / "in" / key / f"{name}.dcm"
            self._place(path, place)
            first = next((stored.path for stored in own if not stored.conflict), None)
            mends = first is not None and lacks_pixels(self.folder / first) and not lacks_pixels(place)
            stored = Stored(self._name(place), uid, key, sop_class, digest, size, None if mends else first)
            try:
                with self.journal.transaction():
                    if mends:
                        self.journal.gives_way(str(first), stored.path)
                    self.journal.add(stored, time.time())
                    self.journal.sends(association, key, time.time())
            except BaseException:
                place.unlink(missing_ok=True)
                raise
            return SUCCESS

    def _is_there(self, stored: Stored) -> bool:
        """Whether an instance is here, as it was acknowledged."""
        try:
            return not stored.removed and (self.folder / stored.path).stat().st_size == stored.size
        except OSError:
            return False

    def _place(self, path: Path, place: Path) -> None:
        """Puts a synced file in its place, durably. A file that is there already and in no journal is one that was
        never acknowledged."""
        place.parent.parent.mkdir(mode=0o700, exist_ok=True)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(place)  # a second link would do too, but exFAT has none
        files.sync(place.parent)
        if place.parent not in self._synced:
            files.sync(place.parent.parent)
            files.sync(place.parent.parent.parent)
            self._synced.add(place.parent)

    def holds(self, uid: str, sop_class: str = "") -> bool:
        """Whether an instance of this UID, and class where one is given, is here, as it was acknowledged."""
        found = [stored for stored in self.journal.of_uid(uid) if self._is_there(stored)]
        return any(sop_class in ("", stored.sop_class) for stored in found)

    def free(self) -> int:
        """Bytes that are free where the spool lies."""
        return (found := os.statvfs(self.folder)).f_bavail * found.f_frsize

    def remove_old(self, keep: float) -> int:
        """Removes the files of series that were scored over `keep` seconds ago; how many series. One that an image
        came of meanwhile stays."""
        before = time.time() - keep
        return sum(self._remove(key, before) for key in self.journal.kept_since(before))

    def _remove(self, key: str, before: float) -> bool:
        with self._mutex:
            if not self.journal.is_old(key, before):
                return False
            self.journal.removed(key)
            for stored in self.journal.of_series(key):
                (self.folder / stored.path).unlink(missing_ok=True)
            self._synced.discard(self.folder / "in" / key)
            with contextlib.suppress(OSError):
                for folder in (self.folder / "in" / key, (self.folder / "in" / key).parent):
                    folder.rmdir()
        return True

    def _tidy(self) -> None:
        """After a receiver that was killed: halves go, and files that were being removed; those that are in no
        journal are taken into it."""
        for half in (self.folder / "part").iterdir():
            half.unlink()
        for name in self.journal.gone():
            (self.folder / name).unlink(missing_ok=True)
        self.journal.restarted(time.time())
        known = self.journal.paths()
        for path in sorted((self.folder / "in").glob("*/*/*.dcm")):
            if self._name(path) not in known:
                try:
                    self._adopt(path)
                except Exception:  # pydicom has no common type for damage; the file stays
                    self.unread += 1

    def _adopt(self, path: Path) -> None:
        """Takes a file into the journal that may have been acknowledged: its sender has broken off."""
        header = read_header(path)
        sop_class, uid, study, series = (str(getattr(header, tag, "")) for tag in TAGS)
        digest, size = sync(path)
        key = series_key(study, series)
        before = [stored for stored in self.journal.of_uid(uid) if stored.series == key and self._is_there(stored)]
        conflict = before[0].path if before else None
        with self.journal.transaction():
            self.journal.add(Stored(self._name(path), uid, key, sop_class, digest, size, conflict), time.time())
            self.journal.sends("lost", key, time.time())
            self.journal.ended("lost", time.time(), aborted=True)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def close(self) -> None:
        """Frees the spool for another receiver."""
        self.journal.close()
        self._lock.close()


def folder_of(out: Path) -> Path:
    """Where the spool of an output folder lies."""
    return out / OUTPUT / "spool"


def series_key(study: str, series: str) -> str:
    """The folder of a series: hashes of its study's UID and of its own."""
    return f"{short_hash(study, HASH)}/{short_hash(series, HASH)}"


def read_header(path: Path) -> Dataset:
    """The UIDs of an image. Raises whatever pydicom does, and ScanError for what would fill the memory."""
    from pydicom import dcmread

    refuse_bomb(path)
    return dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))


def sync(path: Path) -> tuple[bytes, int]:
    """Puts a file on disk; SHA-256 of its data set, behind preamble and file meta, and its size."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(144)[140:], "little")  # of the file meta, which is ours (PS3.10 7.1)
        stream.seek(144 + length)
        digest = hashlib.sha256()
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
        os.fsync(stream.fileno())
        return digest.digest(), stream.tell()
