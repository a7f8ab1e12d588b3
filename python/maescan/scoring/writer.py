"""Scored scans into the ledger, and their maps beside it, in a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from maescan.decimals import counted
from maescan.errors import MaescanError, ScanError
from maescan.method.healthy import cell_maxima, scan_heat
from maescan.method.preprocess import to_source
from maescan.method.regions import Regions
from maescan.results import maps, pictures
from maescan.results.geometry import Geometry, axial_of, tissue_box
from maescan.results.rows import ScanRow, state_of
from maescan.scoring.dicom_writer import DicomResults, kept
from maescan.scoring.job import Job, named
from maescan.scoring.pool import LoadedScan

GROUP, GROUP_PIXELS, GROUP_S = 16, 2_000_000, 0.05
"""Scans that are recorded as one are at most so many, of so many pixels, and waited for so many seconds: small ones
share the wait for the disk, a large one is recorded alone and at once."""


class ScanWriter:
    """Writes what is added to it; leaving it waits until all is written. What the disk refuses ends the run.

    Small scans that come close together are written as a group: the names of their outputs are recorded, then the
    files are written, then the scores are recorded, then each scan is told of."""

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
        while group := self._group():
            start = time.perf_counter()
            with self._stopping():
                self._write(group)
            self._job.times["write"].extend([(time.perf_counter() - start) / len(group)] * len(group))
        if self._dicom is not None:
            self._dicom.close()

    def _group(self) -> list[LoadedScan]:
        """The scans that are written next; none at the end."""
        group, pixels, until = list[LoadedScan](), 0, 0.0
        while len(group) < GROUP and pixels < GROUP_PIXELS:
            try:
                scan = self._finished.get(timeout=max(0.0, until - time.monotonic()) if group else None)
            except queue.Empty:
                break
            if scan is None:
                if group:
                    self._finished.put(None)
                break
            until = until or time.monotonic() + GROUP_S
            pixels += scan.pixels
            group.append(scan)
        return group

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """What is raised inside ends the run: it is the disk's, no scan's. What was finished is still recorded."""
        try:
            yield
        except BaseException as error:
            self._job.stop(error)

    def _write(self, group: list[LoadedScan]) -> None:
        job, rows = self._job, list[tuple[LoadedScan, ScanRow]]()
        job.ledger.db.check_there()
        with job.files:
            with job.ledger.db.transaction():
                for scan in group:
                    self._list(scan)
            for scan in group:
                with self._stopping():
                    row = self._written(scan)
                    if row is not None:
                        rows.append((scan, row))
            with job.ledger.db.transaction():
                for scan, row in rows:
                    job.ledger.add(scan.known, scan.reading.content, row)
        for scan, row in rows:
            with self._stopping():
                job.scored(scan.source, scan.known, row)

    def _list(self, scan: LoadedScan) -> None:
        """Lists the files that are written of a scan, before they are."""
        job = self._job
        if _refusal(scan) is not None:
            return
        kinds = {"map": job.options.maps, "exceedance": self._exceeds(scan), "picture": scan.picture is not None}
        for kind in (kind for kind, asked in kinds.items() if asked):
            with contextlib.suppress(MaescanError):  # said where the file is written
                job.outputs.path(kind, scan.known)

    def _written(self, scan: LoadedScan) -> ScanRow | None:
        """Writes the files of a scan; its row. None of one that fails, which is recorded."""
        job, prepared, known = self._job, scan.reading.prepared, scan.known
        refusal = _refusal(scan)
        if refusal is not None:
            job.fail(scan.source, known, "score", refusal)
            return None
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
                return None
        self._write_picture(scan)
        row = self._row(scan, heat)
        if self._dicom is not None and volume is not None:
            row = self._dicom.write(scan, row, volume)
        else:
            row = kept(job, scan, row)
        job.outputs.drop(job.outputs.place("view", known))  # it shows what was scored before
        return row

    def _row(self, scan: LoadedScan, heat: dict[str, str] | None) -> ScanRow:
        prepared, known = scan.reading.prepared, scan.known
        names = ("warnings", "fit", "why", "print", "trained", "figures", "geometry")
        facts, area = {name: scan.reading.facts[name] for name in names}, np.asarray(prepared.area)
        told, around = self._job.ledger.names.told, named(scan.source)
        facts["incomplete"] = state_of(facts["warnings"]) == "incomplete"
        facts["warnings"] = [told(text, *around) for text in facts["warnings"]]
        facts["why"] = told(facts["why"], *around)
        facts["patient"] = self._job.ledger.names.code(scan.source.patient)
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
        maps.write_map(job.outputs.path("map", known), volume, facts["affine"], scale, facts["placed"])
        if self._exceeds(scan):
            path, geometry = job.outputs.path("exceedance", known), Geometry.from_json(facts["geometry"])
            maps.write_exceedance(path, volume, (facts["affine"], facts["placed"]), job.scale, geometry)

    def _exceeds(self, scan: LoadedScan) -> bool:
        """Whether an exceedance map is written."""
        return bool(
            self._job.options.maps
            and self._job.scale.healthy
            and self._job.judges(scan.reading.facts["fit"])
            and not isinstance(scan.reading.prepared, Regions)
        )

    def _write_picture(self, scan: LoadedScan) -> None:
        job, pixels = self._job, scan.picture
        if pixels is None:
            return
        key = pictures.picture_key(job.ledger.job, ScanRow(scan.known.label, scan.scores, scan.scores))
        with contextlib.suppress(ScanError):  # the user's own file lies there
            pictures.save(job.outputs.path("picture", scan.known), pixels, key)


def _refusal(scan: LoadedScan) -> MaescanError | None:
    """Why a scan has no scores."""
    if scan.fault is not None:
        return scan.fault
    bad = int((~np.isfinite(scan.scores)).sum())
    remedy = "check the bundle with `maescan verify`"
    return ScanError(f"{counted(bad, 'slice has', 'slices have')} no finite score", remedy=remedy) if bad else None
