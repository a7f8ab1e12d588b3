"""Series of the spool that have come to rest, as a source of scans for the pipeline of `watch`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import time
from typing import cast

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.network.child import Tell
from maescan.network.journal import Journal, Series
from maescan.network.options import ListenOptions
from maescan.network.spool import folder_of
from maescan.scans.budget import Limits, touching
from maescan.scans.dicom.complete import TAGS, Instance, instance_of, missing
from maescan.scans.dicom.file import read_header
from maescan.scans.find import in_files
from maescan.scans.quiet import quiet
from maescan.scans.source import ScanSource
from maescan.scans.worker import Worker, WorkerLostError
from maescan.scoring.arrivals import Arrived, Poll
from maescan.scoring.job import BROKE_OFF

POLL_S = 0.5
NO_SCAN = "no image of a scan is in it: reports, segmentations, captures, documents and the like are never scored"
AT_ONCE = 8
"""Series that are given at once."""


class SeriesReader:
    """Looks into the files of a series. faults: what is wrong with files that are not to be touched."""

    def __init__(self, base: Path, faults: dict[str, ScanError]):
        self._base, self._faults = base, faults

    def sources(self, paths: list[Path], notes: tuple[str, ...]) -> list[ScanSource]:
        """The scans that the files of a series are; each begins with `notes`, and with what is missing."""
        lacking = missing([instance for path in paths if (instance := self._instance(path))])
        notes = (*notes, lacking) if lacking else notes
        found = in_files(paths, self._base, self._faults)
        return [replace(source, notes=(*source.notes, *notes)) for source in found]

    def _instance(self, path: Path) -> Instance | None:
        if str(path) in self._faults:
            return None
        try:
            with touching(path), quiet():
                return instance_of(read_header(path, TAGS))
        except Exception:  # pydicom has no common type for damage
            return None


class SpoolOrigin:
    """Gives each series once it has come to rest, and again when more of it came; one at a time. What a killed run
    had not finished is given again. tell: called with "passed_over" where a series is no scan."""

    def __init__(self, out: Path, options: ListenOptions, limits: Limits, stop: threading.Event, tell: Tell):
        self._folder, self._options, self._limits = folder_of(out), options, limits
        self._tell = tell
        self.stop = stop
        self._journal = Journal(self._folder)
        self._journal.unfinished()
        self._faults: dict[str, ScanError] = {}
        self._left: Counter[str] = Counter()
        self._mutex = threading.Lock()
        self.place, self.roots, self.poll_s = str(self._folder), list[Path](), POLL_S
        self._worker = self._looking()

    def _looking(self) -> Worker:
        return Worker(SeriesReader, self._folder / "in", dict(self._faults), limits=self._limits)

    def poll(self) -> Poll:
        """See `scoring.watch.Origin`."""
        ready = list[Arrived]()
        series = self._journal.ready(time(), self._options.settle, self._options.aborted_wait)
        for each in series[:AT_ONCE]:
            try:
                sources = self._sources(each)
            except WorkerLostError as error:
                self._faults[str(error.path)] = ScanError(error.reason, path=error.path, remedy=error.remedy)
                self._worker.close()
                self._worker = self._looking()
                return Poll(ready, [], True)
            self._journal.give(each)
            with self._mutex:
                self._left[each.key] = len(sources)
            ready += [Arrived(source, each.last) for source in sources]
            if not sources:
                self._tell("passed_over", {"series": each.key, "reason": NO_SCAN})
                self._journal.done(each.key)
        return Poll(ready, [], len(series) > AT_ONCE)

    def _sources(self, series: Series) -> list[ScanSource]:
        stored = self._journal.of_series(series.key)
        here = [each for each in stored if not each.removed and not each.conflict]
        notes = []
        if series.aborted:
            notes.append(BROKE_OFF)
        if removed := sum(each.removed for each in stored):
            notes.append(f"incomplete: {removed} of its images came earlier and are no longer kept")
        if twice := [each for each in stored if each.conflict and not each.removed]:
            pairs = [(Path(str(each.conflict)).name, Path(each.path).name) for each in twice[:2]]
            names = ", ".join(f"{scored} is scored, {other} is not" for scored, other in pairs)
            notes.append(f"{counted(len(twice), 'image')} came again with other content, all are kept: {names}")
        paths = [self._folder / each.path for each in here]
        if not paths:
            return []
        answer = self._worker.call("sources", paths, tuple(notes), path=paths[0], stop=self.stop)
        return cast(list[ScanSource], answer)

    def wanted(self, wants: Callable[[str], bool], ready: Sequence[Arrived]) -> list[Arrived]:
        """See `scoring.watch.Origin`; what nobody wants is done with."""
        for arrived in ready:
            if not wants(arrived.source.name):
                self.reported(arrived.source)
        return [arrived for arrived in ready if wants(arrived.source.name)]

    def reported(self, source: ScanSource) -> None:
        """See `scoring.watch.Origin`: a series is done when the last of its scans is."""
        key = "/".join(source.files[0].relative_to(self._folder / "in").parts[:2])
        with self._mutex:
            self._left[key] -= 1
            if self._left[key] > 0:
                return
            del self._left[key]
        self._journal.done(key)

    def close(self) -> None:
        """See `scoring.watch.Origin`."""
        self._worker.close()

    def begin(self) -> None:
        """See `scoring.watch.Origin`."""
        self._journal.unfinished()
        self._left.clear()
        self._worker = self._looking()
