"""Which scans of an inbox have arrived: a series is known by its UID, whatever else lies or comes beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from maescan.errors import ScanError
from maescan.scans.budget import touching
from maescan.scans.dicom.complete import TAGS, Instance, instance_of
from maescan.scans.dicom.file import is_dicom, read_header
from maescan.scans.find import Faults, in_files
from maescan.scans.quiet import quiet
from maescan.scans.source import ScanSource, format_of
from maescan.scoring.inbox import Inbox, Stat

AT_ONCE = 200
"""Files that are looked into before the caller hears again."""
AWAY = "is gone, or cannot be read", "what is in it is scored once it is there again"
DETACHED = (".hdr", ".hdr.gz", ".mhd", ".nhdr")
"""Headers whose voxels lie in another file, which may come later."""


class Arrived(NamedTuple):
    """A scan that is there. arrived: when its last byte came (wall clock)."""

    source: ScanSource
    arrived: float


class Poll(NamedTuple):
    """What came since the last one. arriving: scans that have begun to come, or to change; more: there are files that
    were not looked into yet; away: why the folder cannot be looked into, and what to do; gone: what had begun to
    come and is no longer there, or is another scan's."""

    ready: list[Arrived]
    arriving: list[ScanSource]
    more: bool
    away: tuple[str, str] | None = None
    gone: Sequence[ScanSource] = ()


class Arrivals:
    """Polls a folder. A scan has arrived when the size and time of all its files stood still for `settle` seconds: of
    a series, of all files with its UID. faults: what is wrong with files that are not to be touched."""

    def __init__(self, folder: Path, settle: float, poll: float, faults: Faults):
        self._inbox, self._faults = Inbox(folder, settle, poll), faults
        self._unread: dict[Path, None] = {}
        self._undecided: set[Path] = set()  # too short yet to say what they are
        self._key: dict[Path, str] = {}
        self._members: dict[str, set[Path]] = defaultdict(set)
        self._headers: dict[Path, set[Path]] = defaultdict(set)
        self._given: dict[str, dict[Path, Stat]] = {}
        self._news: set[str] = set()
        self._announced: dict[str, list[ScanSource]] = {}
        self._gone: list[ScanSource] = []

    def poll(self) -> Poll:
        """The scans that have arrived, or have changed, and come to rest."""
        changed, lost = self._inbox.look()
        for path in lost:
            self._forget(path)
        self._unread.update(dict.fromkeys(sorted(changed)))
        self._unread.update(dict.fromkeys(path for path in self._undecided if self._inbox.settled(path)))
        for path in list(self._unread)[:AT_ONCE]:
            del self._unread[path]
            with touching(path):
                self._look_into(path)
        if self._unread:  # may hold more of what seems to have arrived
            return Poll([], [], True)
        new = sorted(self._news - self._announced.keys())
        fresh = {key: [] if self._is_known(key) else self._first(key) for key in new}
        self._announced |= fresh
        ready = [arrived for key in sorted(self._news) for arrived in self._arrived(key)]
        arriving = [source for sources in fresh.values() for source in sources]
        gone, self._gone = self._gone, []
        return Poll(ready, arriving, False, None if self._inbox.there else AWAY, gone)

    def _look_into(self, path: Path) -> None:
        """Files it under its series, or under itself."""
        self._undecided.discard(path)
        kind, key, instance = format_of(path), "", None
        if str(path) in self._faults or path.is_dir() or kind not in (None, "dicom"):
            key = str(path)
        elif instance := self._instance(path):
            key = f"series {instance.series}" if instance.series else f"series in {path.parent}"
        elif not self._inbox.settled(path):
            self._undecided.add(path)
            return
        elif kind == "dicom":  # a damaged one
            key = str(path)
        if key != self._key.get(path):
            self._forget(path)
        if key:
            if path.name.lower().endswith(DETACHED):
                self._headers[path.parent].add(path)
            self._key[path] = key
            self._members[key].add(path)
            self._news.add(key)
        self._news |= {str(header) for header in self._headers[path.parent] if header in self._key}

    def _instance(self, path: Path) -> Instance | None:
        """Of a DICOM file with a whole header; None for anything else."""
        try:
            if not is_dicom(path):
                return None
            with quiet():
                return instance_of(read_header(path, TAGS))
        except Exception:  # pydicom has no common type for damage
            return None

    def _forget(self, path: Path) -> None:
        self._unread.pop(path, None)
        self._undecided.discard(path)
        self._headers[path.parent].discard(path)
        key = self._key.pop(path, "")
        if not key:
            return
        self._members[key].discard(path)
        self._given.get(key, {}).pop(path, None)
        if not self._members[key]:
            del self._members[key]
            self._given.pop(key, None)
            self._news.discard(key)
            self._gone += self._announced.pop(key, [])

    def _is_known(self, key: str) -> bool:
        """Whether nothing of it is new since it was given: what only lost files is not scored again."""
        given = self._given.get(key)
        return given is not None and all(given.get(path) == self._stat(path) for path in self._members[key])

    def _arrived(self, key: str) -> Iterator[Arrived]:
        paths = sorted(self._members[key])
        if not all(self._inbox.settled(path) for path in paths):
            return
        single = key == str(paths[0])
        sources = (
            [] if not single and self._is_known(key) else list(in_files(paths, self._inbox.folder, self._faults))
        )
        files = {file: self._stat(file) for source in sources for file in source.files} | {
            path: self._stat(path) for path in paths
        }
        if not all(self._inbox.settled(file) for file in files):  # voxels that come behind their header
            return
        self._news.discard(key)
        self._announced.pop(key, None)
        if self._given.get(key) == files:
            return
        self._given[key] = files
        for source in sources:
            times = [self._inbox.files[file].arrived for file in source.files if file in self._inbox.files]
            yield Arrived(source, max(times, default=0.0))

    def _first(self, key: str) -> list[ScanSource]:
        """What the first file is on its own."""
        try:
            return list(in_files(sorted(self._members[key])[:1], self._inbox.folder, self._faults))
        except ScanError:
            return []

    def _stat(self, path: Path) -> Stat:
        file = self._inbox.files.get(path)
        return file.stat if file else (-1, 0)
