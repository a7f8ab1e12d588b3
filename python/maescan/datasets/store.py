"""The files of a prepared cache: images and masks that grow scan by scan, and the journal that says how far.

A kill at any moment loses the scan that was being written and nothing else: a scan's line enters the journal when its
slices are on the disk, and what lies behind the last line is cut off when work goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from maescan.config.types import Json
from maescan.content import read_content
from maescan.errors import DataError, unread, unwritten
from maescan.files import claim, write_text
from maescan.folders import as_folder, make_own, not_locked
from maescan.records import Record, decode

HEADER = 128  # bytes before the data of an .npy file: room for any number of slices
FILES: dict[str, tuple[str, np.dtype[np.generic]]] = {
    "images": ("images.npy", np.dtype("<f2")),
    "masks": ("masks.npy", np.dtype("u1")),
}


@dataclass(frozen=True, eq=False)
class CachedScan:
    """One scan, ready to be written. images [S, h, w] float16; masks [S, h, ceil(w / 8)] uint8, one bit per pixel, or
    None; record: JSON types, its line of the journal."""

    images: NDArray[np.float16]
    masks: NDArray[np.uint8] | None
    record: Json


class Journal(Record, frozen=True):
    """A line of scans.jsonl. sha256: of the scan's files; hash: `content_hash`; stamp: see `cache.stamp`."""

    patient: str
    count: Annotated[int, Meta(ge=0)]
    sha256: str
    stamp: str
    hash: str
    slice: list[int]
    label: list[int]
    area: list[float]
    masks: bool = False
    failed: dict[str, str] | None = None


Slices = NDArray[np.generic]


def content_hash(images: Slices, masks: Slices) -> str:
    """Of a scan's slices as the files hold them."""
    digest = hashlib.sha256()
    for rows, (_, dtype) in zip((images, masks), FILES.values(), strict=True):
        digest.update(np.ascontiguousarray(rows, dtype).data)
    return digest.hexdigest()[:24]


def load_array(folder: Path, name: str) -> Slices:
    """`images` or `masks` of a cache, mapped; while they are nobody prepares it anew. Raises DataError for what is no
    such array, and while another process prepares it."""
    file, dtype = FILES[name]
    remedy = "prepare it anew, into another folder"
    with contextlib.ExitStack() as failed:
        if share := _share(folder):
            failed.callback(share.close)
        try:
            mapped: Slices = np.load(folder / file, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, OSError):
                reason, remedy = error.strerror or reason, unread(error, folder / file, remedy)
            raise DataError(f"cannot be read: {reason}", path=folder / file, remedy=remedy) from error
        if mapped.ndim != 3 or mapped.dtype != dtype:
            raise DataError("is no array of slices", path=folder / file, remedy=remedy)
        weakref.finalize(mapped.base, failed.pop_all().close)  # the map itself: every slice of it keeps it
    return mapped


def _share(folder: Path) -> IO[bytes] | None:
    """A reader's share of a cache's lock; None where there is none to have, as in a copy without it."""
    try:
        share = open(folder / ".lock", "rb")  # noqa: SIM115
    except OSError:
        return None
    try:
        fcntl.flock(share, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return share
    except OSError as error:
        share.close()
        if isinstance(error, BlockingIOError):
            raise DataError("another process prepares it", path=folder, remedy="wait for it") from error
        return None  # a file system without locks


class CacheWriter:
    """An open cache folder. Raises DataError where it cannot be written, or another process writes or reads it."""

    def __init__(self, folder: Path, size: int):
        self.folder = folder
        self.rows = {"images": (size, size), "masks": (size, -(-size // 8))}
        with self._writing():
            claim(folder, "slices")
            self._lock = open(folder / ".lock", "a", opener=as_folder)  # noqa: SIM115
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            held, remedy = "another process prepares it or learns from it", "wait for it, or use another --out"
            raise not_locked(error, folder, held, remedy) from error

    def begin(self, records: list[Json]) -> None:
        """Opens the files behind the slices of `records`, the first of the journal's lines; later ones are undone."""
        count = sum(record["count"] for record in records)
        write_text(self.folder / "scans.jsonl", "".join(map(_line, records)))
        with self._writing():
            self.journal = open(self.folder / "scans.jsonl", "ab")  # noqa: SIM115
            for file, _ in FILES.values():
                make_own(self.folder / file)
            self.files = {name: _open(self.folder / file) for name, (file, _) in FILES.items()}
            for name, stream in self.files.items():
                stream.truncate(HEADER + count * self._row_bytes(name))
                stream.seek(0, os.SEEK_END)
        self.count = count

    def records(self) -> list[Json]:
        """The journal's whole lines, of scans whose slices are all there."""
        try:
            text = read_content(self.folder / "scans.jsonl")
            sizes = {name: (self.folder / file).stat().st_size for name, (file, _) in FILES.items()}
        except OSError:
            return []
        room = min((sizes[name] - HEADER) // self._row_bytes(name) for name in FILES)
        found: list[Json] = []
        for line in text.split(b"\n")[:-1]:
            try:
                text, _, check = line.rpartition(b" ")
                known = decode(Journal, text, path=self.folder, remedy="")
            except DataError:  # what lies behind is read again
                break
            room -= known.count
            if room < 0 or check != _check_of(text):
                break
            found.append(decode(dict, text, path=self.folder, remedy=""))
        return found

    def add(self, block: CachedScan) -> None:
        """Appends a scan. A scan without masks has empty ones, so that rows are alike in both files."""
        masks = block.masks
        if masks is None:
            masks = np.zeros((len(block.images), *self.rows["masks"]), np.uint8)
        block.record["hash"] = content_hash(block.images, masks)
        with self._writing():
            self.files["images"].write(np.ascontiguousarray(block.images, FILES["images"][1]).data)
            self.files["masks"].write(np.ascontiguousarray(masks, FILES["masks"][1]).data)
            for stream in self.files.values():
                _sync(stream)
            self.journal.write(_line(block.record).encode())
            _sync(self.journal)
        self.count += len(block.images)

    def finish(self) -> None:
        """Writes the number of slices into the headers."""
        with self._writing():
            for name, stream in self.files.items():
                stream.seek(0)
                shape = (self.count, *self.rows[name])
                layout = {"descr": FILES[name][1].str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, layout)
                assert stream.tell() == HEADER
                _sync(stream)

    def close(self) -> None:
        for stream in (*getattr(self, "files", {}).values(), getattr(self, "journal", None), self._lock):
            if stream is not None:
                stream.close()

    def _row_bytes(self, name: str) -> int:
        return int(np.prod(self.rows[name])) * FILES[name][1].itemsize

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot write: {error.strerror or error}"
            raise DataError(reason, path=self.folder, remedy=unwritten(error, self.folder)) from error


def _open(path: Path) -> IO[bytes]:
    return open(path, "r+b" if path.exists() else "w+b", opener=as_folder)


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _line(record: Json) -> str:
    """A line of the journal: JSON, and a hash of it."""
    text = json.dumps(record)
    return f"{text} {_check_of(text.encode()).decode()}\n"


def _check_of(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
