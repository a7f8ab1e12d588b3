"""The files of a folder as they come: told by the system where it can, else by looking, at a bounded cost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from maescan.files import OUTPUT
from maescan.scans.source import PassedOver
from maescan.scans.walk import walk

Stat = tuple[int, int]
"""Size, and time of the last change in nanoseconds."""
RESCAN_S = 30.0
"""The folder is looked through so often even where the system tells what changes in it."""
COST = 50
"""Looking through the folder takes at most one part in so many of the time."""
NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "lustre", "virtiofs", "vboxsf", "afs")
"""File systems on which others write, of which this system hears nothing."""


@dataclass
class Arrival:
    """One file: since when its size and time are what they are (monotonic), and when its last byte came, as well as
    can be told (wall clock)."""

    stat: Stat
    since: float
    arrived: float


class Inbox:
    """The files below a folder; `look` brings `files` up to date. settle: seconds for which a file is looked at again
    each time; poll: between two looks. there: whether it could be looked into."""

    def __init__(self, folder: Path, settle: float, poll: float):
        self.folder, self.files, self.there = folder.absolute(), dict[Path, Arrival](), True
        self._settle, self._poll = settle, poll
        self._young: set[Path] = set()
        self._told: set[Path] = set()
        self._mutex = threading.Lock()
        self._looked, self._next, self._pause = time.time(), 0.0, poll
        self._hears = not is_network(self.folder)
        if self._hears:
            threading.Thread(target=self._listen, daemon=True).start()

    def look(self) -> tuple[set[Path], set[Path]]:
        """(files that are new or have changed, files that are gone) since the last look."""
        with self._mutex:
            told, self._told = self._told, set()
        start = time.monotonic()
        if start < self._next:
            return self._update({*self._young, *self._below(told)}, self._vanished(told | self._young))
        found = set(_files(self.folder))
        self.there = found != {self.folder}
        if not self.there:  # it is gone, or cannot be read for the moment
            return set(), set()
        outcome = self._update(found, self.files.keys() - found)
        now = time.monotonic()
        # soon again at first: the system may tell of changes only from a moment after it was asked
        self._pause = min(2 * self._pause, RESCAN_S) if self._hears else self._poll
        self._next = now + max(self._pause, COST * (now - start))
        return outcome

    def settled(self, path: Path) -> bool:
        """Whether a file has stood still for long enough."""
        file = self.files.get(path)
        return file is None or time.monotonic() - file.since >= self._settle

    def _update(self, present: Iterable[Path], gone: Iterable[Path]) -> tuple[set[Path], set[Path]]:
        now, wall, changed, lost = time.monotonic(), time.time(), set[Path](), set[Path]()
        for path in present:
            try:
                found = path.stat()
            except OSError:  # gone since, or a link to nowhere
                continue
            stat, before = (found.st_size, found.st_mtime_ns), self.files.get(path)
            if before is None or before.stat != stat:
                # a file that was moved here keeps its old time: it came after the last look
                self.files[path] = Arrival(stat, now, min(max(found.st_mtime, self._looked), wall))
                changed.add(path)
        for path in gone:
            if self.files.pop(path, None) is not None:
                lost.add(path)
        self._looked = wall
        self._young = {path for path in self._young | changed if path in self.files and not self.settled(path)}
        return changed, lost

    def _below(self, told: Iterable[Path]) -> Iterator[Path]:
        """The files that a walk would find, of those and in those folders that the system told of."""
        for path in told:
            if any(part.startswith(".") for part in path.relative_to(self.folder).parts) or self._is_output(path):
                continue
            if path.is_dir():
                yield from _files(path)
            else:
                yield path

    def _is_output(self, path: Path) -> bool:
        between = [folder for folder in path.parents if folder.is_relative_to(self.folder)]
        return any((folder / OUTPUT).is_dir() for folder in between)

    def _vanished(self, told: Iterable[Path]) -> Iterator[Path]:
        """Files that are known and no longer there; a folder that is gone takes all in it along."""
        lost = {path for path in told if not path.exists()}
        yield from lost & self.files.keys()
        if folders := lost - self.files.keys():
            yield from [path for path in self.files if not folders.isdisjoint(path.parents)]

    def _listen(self) -> None:
        try:
            from watchfiles import watch

            for changes in watch(self.folder, watch_filter=None, debounce=200, step=50, raise_interrupt=False):
                with self._mutex:
                    self._told.update(Path(path) for _, path in changes)
        except Exception:  # not installed, or no more watches are to be had: then by looking alone
            self._hears = False


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, and the folders that cannot be searched."""
    return (path for path in walk(folder) if not isinstance(path, PassedOver))


def is_network(folder: Path) -> bool:
    """Whether a folder lies on a file system on which others write."""
    place, best = Path(os.path.realpath(folder)), ("", "")
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return True
    for line in lines:
        before, _, behind = line.partition(" - ")
        mount = before.split(" ")[4].replace("\\040", " ")
        if place.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = mount, behind.split(" ")[0]
    return best[1].startswith(NETWORK)
