"""Reader processes: scans on their way to the engine, as many at once as fit the queue's bytes."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ConfigError, MaescanError, NoScanError
from maescan.method.raw import Slices, on_host
from maescan.method.score import least_score, takes_raw
from maescan.method.tokens import tissue_of
from maescan.scans.source import ScanSource
from maescan.scans.worker import WorkerLostError
from maescan.scoring.dicom import outdated
from maescan.scoring.job import Job
from maescan.scoring.ledger import Known
from maescan.scoring.readers import Reader, Reading

RAW = True
"""Whether readers send raw voxels where the engine takes them; off, slices: to measure what it gains."""


@dataclass
class LoadedScan:
    """A scan on its way through the engine. scores, maps: filled slice by slice; left: slices that are not;
    pixels: of all slices; fault: what the engine said of them; tissue: where a healthy scan's maps count; picture: of
    its highest slices."""

    source: ScanSource
    known: Known
    reading: Reading
    images: Slices
    maps: NDArray[np.float32] | None
    scores: NDArray[np.float32] = field(init=False)
    left: int = field(init=False)
    pixels: int = field(init=False)
    fault: MaescanError | None = None
    tissue: NDArray[np.bool_] | None = None
    picture: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        self.left = len(self.images) - len(self.missing)
        self.scores = np.zeros(len(self.images), dtype=np.float32)
        self.pixels = math.prod(self.images.shape) if self.left else 0

    @property
    def missing(self) -> Sequence[int]:
        """Slices that no image was there of: they are not scored."""
        geometry = self.reading.facts.get("geometry") or {}
        return () if "levels" in geometry else geometry.get("missing", ())


class ReaderPool:
    """Threads with a reader process each. They draw sources in turn; what fails is a row, never the end."""

    def __init__(self, job: Job, sources: Iterator[ScanSource], workers: int):
        self._job, self._sources, self._lock = job, sources, threading.Lock()
        self._ready: queue.Queue[LoadedScan | None] = queue.Queue()
        self._room = threading.Condition()
        self._bytes = 0
        self._running = workers
        for _ in range(workers):
            threading.Thread(target=self._run, daemon=True).start()

    def get(self, *, wait: bool) -> LoadedScan | None:
        """The next scan that was read; None when there will be none. Raises queue.Empty where there is none yet and
        nobody is to wait."""
        while self._running:
            scan = self._ready.get(block=wait)
            if scan is not None:
                return scan
            self._running -= 1
        return None

    def release(self, scan: LoadedScan) -> None:
        """Makes room in the queue: the scan's slices are scored."""
        with self._room:
            self._bytes -= scan.images.nbytes
            self._room.notify_all()
        scan.images = scan.images[:0]

    def _run(self) -> None:
        reader: Reader | None = None
        job = self._job
        try:
            while job.broken is None and (source := self._next()) is not None:
                reader = reader or self._reader()
                self._read(source, reader)
        except BaseException as error:
            job.stop(error)
        finally:
            if reader is not None:
                reader.close()
            self._ready.put(None)

    def _reader(self) -> Reader:
        job = self._job
        preset, options = job.bundle.preset, job.options.read
        as_raw = RAW and takes_raw(job.engine, preset)
        return Reader(preset, options, job.bundle.manifest, job.stopped, as_raw)

    def _next(self) -> ScanSource | None:
        with self._lock:
            return next(self._sources, None)

    def _read(self, source: ScanSource, reader: Reader) -> None:
        job = self._job
        try:
            content = reader.content(source)
        except MaescanError as error:
            self._fail(source, job.ledger.know(source, ""), error)
            return
        known = job.ledger.know(source, content)
        if not outdated(job, known) and job.done(source, known):
            return
        try:
            reading = reader.read(source)
        except MaescanError as error:
            self._fail(source, known, error)
            return
        self._admit(source, known, reading)

    def _fail(self, source: ScanSource, known: Known, error: MaescanError) -> None:
        if isinstance(error, ConfigError):  # no scan's fault
            raise error
        if isinstance(error, NoScanError):
            self._job.pass_over(source, known, error)
            return
        if isinstance(error, WorkerLostError) and self._job.stopped.is_set():  # nobody's: the next run reads it
            return
        self._job.fail(source, known, "read", error)

    def _admit(self, source: ScanSource, known: Known, reading: Reading) -> None:
        job, images = self._job, reading.images
        for stage, seconds in reading.facts["seconds"].items():
            job.times[stage].append(seconds)
        with self._room:
            while self._bytes and self._bytes + images.nbytes > job.options.queue_bytes:
                self._room.wait(timeout=1.0)
                if job.broken is not None:
                    return
            self._bytes += images.nbytes
        maps = np.zeros(images.shape, np.float32) if job.options.mapped else None
        empty: Any = images[:0]
        scan = LoadedScan(source, known, reading._replace(images=empty), images, maps)
        scan.scores[list(scan.missing)] = least_score(job.bundle.preset)
        scan.tissue = tissue_of(on_host(images), job.bundle.preset) if job.options.measured else None
        self._ready.put(scan)
