"""The DICOM results of scored scans: what is told in them, and where they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maescan.errors import MaescanError, ScanError
from maescan.files import atomic_file
from maescan.method.regions import Regions
from maescan.results.dicom import OBJECTS
from maescan.results.dicom.finding import Finding, Maker
from maescan.results.dicom.make import NOT_DICOM, DicomMaker, Made, Request
from maescan.results.rows import NO_DICOM, DicomRecord, Failure, ScanRow
from maescan.scans.budget import Limits
from maescan.scans.worker import Worker, WorkerLostError
from maescan.scoring.dicom import maker_of, results_key, verdict_of
from maescan.scoring.job import Job
from maescan.scoring.ledger import Known
from maescan.scoring.pool import LoadedScan


class DicomResults:
    """Writes the results of one scan after the other; a worker reads the headers. For one thread."""

    def __init__(self, job: Job):
        self._job = job
        self._worker = Worker(DicomMaker, limits=Limits.of(job.options.read))

    def write(self, scan: LoadedScan, row: ScanRow, volume: NDArray[np.float32]) -> ScanRow:
        """Writes the objects of a scored scan that has this map [X, Y, Z]; its row, with what came of it."""
        job, known = self._job, scan.known
        maker = maker_of(job, job.ledger.result(known).dicom)
        try:
            made = self._made(scan, _finding(job, scan, row, volume), maker)
        except WorkerLostError as error:
            if job.stopped.is_set():  # the next run makes them
                return row
            made = Made(refused=dict.fromkeys(job.options.dicom, error))
        except MaescanError as error:
            made = Made(refused={kind: ScanError(error.reason, remedy=error.remedy) for kind in job.options.dicom})
        refused = {**made.refused, **self._save(known, made.files)}
        record = DicomRecord(
            key=results_key(job),
            verdict=verdict_of(job),
            uid=made.maker.key if made.maker else "",
            content=scan.reading.content,
            refused=sorted([kind, *Failure.of(known.label, NO_DICOM, error)[2:]] for kind, error in refused.items()),
            limit=job.options.max_map,
            report=list(made.report) if made.report else None,
            supersedes=list(made.maker.supersedes) if made.maker and made.maker.supersedes else None,
            written={name: hashlib.sha256(content).hexdigest() for name, content in sorted(made.files.items())},
        )
        return row._replace(dicom=record)

    def _made(self, scan: LoadedScan, finding: Finding, maker: Maker) -> Made:
        job, source = self._job, scan.source
        if source.format != "dicom":
            error = ScanError(NOT_DICOM, path=source.path, remedy="score the DICOM series, or leave out --dicom-out")
            return Made(refused=dict.fromkeys(job.options.dicom, error))
        read = job.options.read
        request = Request(job.options.dicom, read.volume, read.accept, scan.reading.content, job.options.max_map)
        answer = self._worker.call("make", source, finding, maker, request, path=source.path, stop=job.stopped)
        return cast(Made, answer)

    def _save(self, known: Known, made: Mapping[str, bytes]) -> dict[str, ScanError]:
        """Writes the objects, removes those of before; what could not be written because a user's file is there."""
        outputs, refused = self._job.outputs, dict[str, ScanError]()
        for kind, names in OBJECTS.items():
            for name in names:
                if name not in made:
                    outputs.drop(outputs.place(name, known))
                    continue
                try:
                    path = outputs.path(name, known)
                except ScanError as error:
                    refused[kind] = error
                    continue
                with atomic_file(path) as temporary:
                    temporary.write_bytes(made[name])
        return refused

    def close(self) -> None:
        """Ends the worker."""
        self._worker.close()


def _finding(job: Job, scan: LoadedScan, row: ScanRow, volume: NDArray[np.float32]) -> Finding:
    tables, prepared = job.tables([row]), scan.reading.prepared
    judge, patches = tables.judge_of(row), isinstance(prepared, Regions)
    score = tables.scan_score(row)
    p_value, alert = judge.scan(score) if judge else (None, "")
    levels = prepared.corners[:, 0] if patches else np.arange(len(row.scores))
    healthy = None if patches or judge is None else job.scale.healthy
    return Finding(
        score=score,
        scores=row.scores,
        levels=np.asarray(levels, np.int64),
        volume=volume,
        affine=scan.reading.facts["affine"],
        p_value=p_value,
        alert=None if judge is None else alert == "yes",
        slice_p=tuple(judge.slice_p(row.scores, row.positions)) if judge else (),
        threshold=job.scale.middle if healthy else None,
        units="score" if patches else job.scale.units,
        fit=str(row.fit),
        notes=(*job.bundle.cautions(), *tables.notes(row)),
    )


def kept(job: Job, scan: LoadedScan, row: ScanRow) -> ScanRow:
    """The row of a scan that was scored anew without DICOM results: those of before stay where they say the same."""
    told = job.ledger.result(scan.known).dicom
    if told and (told["key"], told["content"]) == (results_key(job), scan.reading.content):
        return row._replace(dicom=told)
    for name in (name for names in OBJECTS.values() for name in names if told):
        job.outputs.drop(job.outputs.place(name, scan.known))
    return row
