"""What is known of the DICOM results of scored scans: whether they are up to date, and why there are none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from maescan import __version__
from maescan.results.dicom import OBJECTS
from maescan.results.dicom.finding import Earlier, Maker
from maescan.results.dicom.uids import WRITER
from maescan.results.rows import DicomRecord, Failure, ScanRow
from maescan.scoring.job import Job
from maescan.scoring.ledger import Known

STAGE = "dicom"
"""Of failures.csv: the scan is scored, and has no DICOM results of some kind."""


def results_key(job: Job) -> str:
    """Hash of what decides the results of any scan: what decides its score, the calibration, this writer."""
    options = job.options
    judged = options.alert_rate, "modality" in options.read.accept
    parts = [job.ledger.job, job.bundle.hash, job.engine.name, judged, __version__, WRITER]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def maker_of(job: Job, record: DicomRecord | None) -> Maker:
    """told: of the results of before, whose report the new one takes the place of where it says something else."""
    name, hounsfield = job.bundle.preset.name, job.bundle.preset.intensity.method == "hu"
    organ = "chest" if hounsfield else "brain" if name.startswith(("brats", "tiny")) else ""
    earlier = record and Earlier(record["uid"], _pair(record["report"]), _pair(record["supersedes"]))
    return Maker(results_key(job), job.bundle.hash, name, job.engine.name, __version__, organ, earlier=earlier)


def _pair(uids: list[str] | None) -> tuple[str, str] | None:
    return (uids[0], uids[1]) if uids else None


def outdated(job: Job, known: Known) -> bool:
    """Whether a scored scan lacks DICOM results that are asked for, or has them of another calibration."""
    if not (job.options.dicom and known.scored):
        return False
    told = job.ledger.dicom(known)
    if told is None or told["key"] != results_key(job):
        return True
    refused = {kind for kind, *_ in told["refused"]}
    if "pm" in refused and told["limit"] != job.options.max_map:
        return True
    return any(not job.outputs.has(OBJECTS[kind][0], known) for kind in job.options.dicom if kind not in refused)


def refusals(rows: Iterable[ScanRow], kinds: Iterable[str]) -> list[Failure]:
    """Why scored scans have no DICOM results, one for each reason; of the kinds that are asked for."""
    asked, found = set(kinds), list[Failure]()
    for row in rows:
        reasons: dict[tuple[str, ...], list[str]] = {}
        for kind, *why in row.dicom["refused"] if row.dicom else ():
            if kind in asked:
                reasons.setdefault(tuple(why), []).append(kind)
        for (reason, remedy, file), which in reasons.items():
            text = f"no DICOM results ({', '.join(which)}): {reason}"
            found.append(Failure(row.label, STAGE, text, remedy, file))
    return found
