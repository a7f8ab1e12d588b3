"""Scored scans into the ledger, and their maps beside it, in a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ScanError
from maescan.method.healthy import cell_maxima, scan_heat
from maescan.method.preprocess import to_source
from maescan.method.regions import Regions
from maescan.results import maps, pictures
from maescan.results.geometry import Geometry, axial_of, tissue_box
from maescan.results.rows import ScanRow
from maescan.scoring.dicom_writer import DicomResults, kept
from maescan.scoring.job import Job, named
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
        volume, heat = None, None
        if scan.maps is not None:
            tiled = isinstance(prepared, Regions)
            volume = prepared.score_map(scan.scores) if tiled else to_source(scan.maps, prepared)
            heat = self._heat(scan, volume)
            scan.maps = scan.tissue = None
        if volume is not None and job.options.maps:
            try:
                self._write_maps(scan, volume)
            except ScanError as error:  # the user's own file lies there
                job.fail(scan.source, known, "write", error)
                return
        self._write_picture(scan)
        row = self._row(scan, heat)
        if self._dicom is not None and volume is not None:
            row = self._dicom.write(scan, row, volume)
        else:
            row = kept(job, scan, row)
        job.outputs.drop(job.outputs.place("view", known))  # it shows what was scored before
        job.ledger.add(known, scan.reading.content, row)
        job.scored(scan.source, known, row)

    def _row(self, scan: LoadedScan, heat: dict[str, str] | None) -> ScanRow:
        prepared, known = scan.reading.prepared, scan.known
        names = ("warnings", "fit", "why", "print", "trained", "figures", "geometry")
        facts, area = {name: scan.reading.facts[name] for name in names}, np.asarray(prepared.area)
        told, around = self._job.ledger.names.told, named(scan.source)
        facts["warnings"], facts["why"] = (
            [told(text, *around) for text in facts["warnings"]],
            told(facts["why"], *around),
        )
        row = ScanRow(known.label, scan.scores, area, **facts, heat=heat, order=known.id)
        if isinstance(prepared, Regions):
            row = row._replace(places=np.round(prepared.places, 3).tolist(), levels=prepared.levels)
        return row

    def _heat(self, scan: LoadedScan, volume: NDArray[np.float32]) -> dict[str, str] | None:
        """Of a healthy scan that a bundle is calibrated with."""
        scale, facts = self._job.scale, scan.reading.facts
        if scan.tissue is None or scan.maps is None or isinstance(scan.reading.prepared, Regions):
            return None
        view = axial_of(maps.quantised(volume, scale), facts["affine"])
        box = tissue_box(Geometry.from_json(facts["geometry"]), view.shape)
        return scan_heat(scan.maps, scan.tissue, cell_maxima(view, box, scale.full), scale.full)

    def _write_maps(self, scan: LoadedScan, volume: NDArray[np.float32]) -> None:
        """The heat map, and the exceedance map where the bundle was calibrated with maps."""
        job, known, facts = self._job, scan.known, scan.reading.facts
        tiled = isinstance(scan.reading.prepared, Regions)
        scale = maps.Scale(1.0, "score") if tiled else job.scale
        maps.write_map(job.outputs.path("map", known), volume, facts["affine"], scale)
        if job.scale.healthy and not tiled:
            path, geometry = job.outputs.path("exceedance", known), Geometry.from_json(facts["geometry"])
            maps.write_exceedance(path, volume, facts["affine"], job.scale, geometry)

    def _write_picture(self, scan: LoadedScan) -> None:
        job, pixels = self._job, scan.picture
        if pixels is None:
            return
        key = pictures.picture_key(job.ledger.job, ScanRow(scan.known.label, scan.scores, scan.scores))
        with contextlib.suppress(ScanError):  # the user's own file lies there
            pictures.save(job.outputs.path("picture", scan.known), pixels, key)
