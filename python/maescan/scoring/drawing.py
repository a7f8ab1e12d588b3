"""Pictures of alerts and of the highest scans: drawn as scans are scored, from slices that are at hand; at the end
what is missing then, from scans that are read once more."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from maescan.errors import DataError, MaescanError
from maescan.method.raw import Slices, on_host
from maescan.results import pictures
from maescan.results.rows import ScanRow
from maescan.scoring.job import Job
from maescan.scoring.pool import LoadedScan
from maescan.scoring.readers import Reader


class Drawing:
    """Tells, scan by scan, which may be among those that are drawn in the end, and draws it. For the thread that has
    the engine."""

    def __init__(self, job: Job):
        self._job, count = job, job.options.pictures
        known = job.tables(job.ledger.rows()) if count else job.tables([])
        self._highest = heapq.nlargest(count, (known.scan_score(row) for row in known.rows))
        heapq.heapify(self._highest)

    def add(self, scan: LoadedScan) -> None:
        """Draws a scan whose slices are all scored where it alerts or is among the highest so far."""
        if not self._job.options.pictures or scan.fault is not None or not np.isfinite(scan.scores).all():
            return
        row = ScanRow(scan.known.label, scan.scores, scan.scores, fit=scan.reading.facts["fit"])
        known = self._job.tables([row])
        if self._enters(known.scan_score(row)) or known.alerts(row):
            numbers = pictures.peaks(row.scores)
            keys = [int(scan.reading.prepared.keys[number]) for number in numbers]
            scan.picture = _drawn(self._job, scan.images[numbers], keys)

    def _enters(self, score: float) -> bool:
        if len(self._highest) < self._job.options.pictures:
            heapq.heappush(self._highest, score)
            return True
        return heapq.heappushpop(self._highest, score) < score or score == self._highest[0]


def draw_missing(job: Job) -> None:
    """Draws what was not: after a calibration, when more pictures are asked for. A scan that cannot be read again, or
    is not of this run, keeps what it has. For the thread that has the engine."""
    known = job.tables(job.ledger.rows())
    reader: Reader | None = None
    for row in pictures.wanted(known, job.options.pictures):
        key, scan = pictures.picture_key(job.ledger.job, row), job.ledger.known(row.label)
        if row.label not in job.sources or pictures.key_of(job.outputs.place("picture", scan)) == key:
            continue
        reader = reader or Reader(job.bundle.preset, job.options.read, job.bundle.manifest)
        numbers = pictures.peaks(row.scores)
        try:
            reading = reader.read(job.sources[row.label])
            if reading.facts["print"] != row.print:  # other slices lie there now than were scored
                continue
            images, keys = reading.images[numbers], [int(reading.prepared.keys[number]) for number in numbers]
            path = job.outputs.path("picture", scan)
        except MaescanError:
            continue
        pixels = _drawn(job, images, keys)
        if pixels is not None:
            pictures.save(path, pixels, key)
    if reader is not None:
        reader.close()


def _drawn(job: Job, images: Slices, keys: list[int]) -> NDArray[np.uint8] | None:
    """None where the engine fails, which was told on the scan's row if it did so before."""
    try:
        return pictures.draw(on_host(images), keys, job.engine, job.bundle.preset)
    except DataError:  # the disk
        raise
    except Exception:
        return None
