"""Which scans of a folder have finished arriving: told by polling sizes and times, for any file system."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maescan.scans.find import in_files
from maescan.scans.source import PassedOver, ScanSource, format_of
from maescan.scans.walk import walk

Stat = tuple[int, int]
"""Size, and time of the last change in nanoseconds."""


@dataclass
class _File:
    stat: Stat
    since: float  # when these size and time were first seen (monotonic)
    arrived: float  # when its last byte came, as well as can be told (wall clock)
    looked: bool = False


class Arrivals:
    """Polls a folder. A file has arrived when its size and time stood still for `settle` seconds; files that may be
    slices of a DICOM series when that holds for their whole folder."""

    def __init__(self, inbox: Path, settle: float):
        self.inbox, self.settle = inbox, settle
        self._files: dict[Path, _File] = {}
        self._given: dict[str, tuple[Stat | None, ...]] = {}
        self._polled = time.time()

    def poll(self) -> Iterator[tuple[ScanSource, float]]:
        """Scans that have arrived since, or have changed: (scan, time at which its last byte came)."""
        self._look()
        chosen = self._chosen()
        for source in in_files(chosen, self.inbox):
            stats = tuple(self._files[file].stat if file in self._files else None for file in source.files)
            known = [self._files[file] for file in source.files if file in self._files]
            if all(self._settled(file) for file in known) and self._given.get(source.name) != stats:
                self._given[source.name] = stats
                yield source, max((file.arrived for file in known), default=time.time())
        for path in chosen:
            self._files[path].looked = True

    def _look(self) -> None:
        now, wall = time.monotonic(), time.time()
        seen: dict[Path, _File] = {}
        for path in walk(self.inbox):
            if isinstance(path, PassedOver):
                continue
            try:
                found = path.stat()
            except OSError:  # gone since, or a link to nowhere
                continue
            if path.is_dir():
                continue
            stat, before = (found.st_size, found.st_mtime_ns), self._files.get(path)
            if before is None or before.stat != stat:
                # a file that was moved here keeps its old time: it came after the last look
                before = _File(stat, now, min(max(found.st_mtime, self._polled), wall))
            seen[path] = before
        gone = self._files.keys() - seen.keys()
        if gone:
            names = {path.relative_to(self.inbox).as_posix() for path in gone}
            self._given = {name: stats for name, stats in self._given.items() if name not in names}
        self._files, self._polled = seen, wall

    def _settled(self, file: _File) -> bool:
        return time.monotonic() - file.since >= self.settle

    def _chosen(self) -> list[Path]:
        """Files to look into: all of a folder that stands still and has new ones, else its new single-file scans."""
        folders: dict[Path, list[Path]] = defaultdict(list)
        for path in self._files:
            folders[path.parent].append(path)
        chosen = []
        for paths in folders.values():
            new = [path for path in paths if not self._files[path].looked and self._settled(self._files[path])]
            if new and all(self._settled(self._files[path]) for path in paths):
                chosen += paths
            else:
                chosen += [path for path in new if format_of(path) not in (None, "dicom")]
        return sorted(chosen)
