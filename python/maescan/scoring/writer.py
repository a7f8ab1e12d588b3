"""Scored scans into the ledger, and their maps beside it, in a thread of their own."""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType

import numpy as np

from maescan import files
from maescan.errors import ScanError
from maescan.method.preprocess import to_source
from maescan.method.regions import Regions
from maescan.results.rows import ScanRow
from maescan.scoring.dicom_writer import DicomResults, kept
from maescan.scoring.job import Job
from maescan.scoring.pool import LoadedScan


class ScanWriter:
    """Writes what is added to it; leaving it waits until all is written. What the disk refuses ends the run."""

    def __init__(self, job: Job):
        self._job = job
        self._dicom = DicomResults(job) if job.options.dicom else None
        self._finished: queue.Queue[LoadedScan | None] = queue.Queue(maxsize=4)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ScanWriter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.put(None)
        self._thread.join()

    def add(self, scan: LoadedScan) -> None:
        """A scan whose slices are all scored."""
        self._finished.put(scan)

    def _run(self) -> None:
        while (scan := self._finished.get()) is not None:
            start = time.perf_counter()
            try:
                self._write(scan)
            except BaseException as error:  # the disk, not the scan: nothing more can be written
                self._job.stop(error)
            self._job.times["write"].append(time.perf_counter() - start)
        if self._dicom is not None:
            self._dicom.close()

    def _write(self, scan: LoadedScan) -> None:
        job, prepared, known = self._job, scan.reading.prepared, scan.known
        if scan.fault is not None:
            job.fail(scan.source, known, "score", scan.fault)
            return
        bad = int((~np.isfinite(scan.scores)).sum())
        if bad:
            remedy = "check the bundle with `maescan verify`"
            job.fail(scan.source, known, "score", ScanError(f"{bad} slices have no finite score", remedy=remedy))
            return
        volume = None
        if scan.maps is not None:
            tiled = isinstance(prepared, Regions)
            volume = prepared.score_map(scan.scores) if tiled else to_source(scan.maps, prepared)
            scan.maps = None
        if volume is not None and job.options.maps:
            try:
                path = job.outputs.path("map", known)
            except ScanError as error:  # the user's own file lies there
                job.fail(scan.source, known, "write", error)
                return
            files.write_nifti(path, volume, scan.reading.facts["affine"])
        facts = {name: scan.reading.facts[name] for name in ("warnings", "fit", "why", "print", "trained", "figures")}
        row = ScanRow(known.label, scan.scores, np.asarray(prepared.area), **facts, order=known.id)
        if isinstance(prepared, Regions):
            row = row._replace(places=np.round(prepared.places, 3).tolist(), levels=prepared.levels)
        if self._dicom is not None and volume is not None:
            row = self._dicom.write(scan, row, volume)
        else:
            row = kept(job, scan, row)
        job.outputs.drop(job.outputs.place("view", known))  # it shows what was scored before
        job.ledger.add(known, scan.reading.content, row)
        job.scored(scan.source, known, row)
