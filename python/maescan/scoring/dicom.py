"""What is known of the DICOM results of scored scans: whether they are up to date, and why there are none.

Also which of what was written of scans says what the tables say: p-values and alerts come with the calibration, the
rate and --accept, not with the scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from maescan import __version__
from maescan.config import Preset
from maescan.method.gate import ORGANS
from maescan.results.dicom import OBJECTS
from maescan.results.dicom.finding import Earlier, Maker
from maescan.results.dicom.uids import WRITER
from maescan.results.rows import NO_DICOM, DicomRecord, Failure, ScanRow
from maescan.scoring.job import Job
from maescan.scoring.ledger import Known


def verdict_key(job: str, bundle: str, engine: str, judged: tuple[float, bool]) -> str:
    """Hash of what decides any scan's score, p-value and alert. judged: the alert rate, and whether scans of any kind
    are judged."""
    return hashlib.sha256(json.dumps([job, bundle, engine, float(judged[0]), judged[1]]).encode()).hexdigest()


def verdict_of(job: Job) -> str:
    """`verdict_key` of what is scored now."""
    options = job.options
    judged = options.alert_rate, "modality" in options.read.accept
    return verdict_key(job.ledger.job, job.bundle.hash, job.engine.name, judged)


def drop_outdated(job: Job, rows: Iterable[ScanRow]) -> int:
    """Removes the DICOM results that say what the tables no longer say; of how many scans."""
    verdict, key, dropped = verdict_of(job), results_key(job), set[str]()
    told = {row.label: row.dicom for row in rows if row.dicom}
    same = {label for label, made in told.items() if made.get("verdict") == verdict or made["key"] == key}
    for name in (name for names in OBJECTS.values() for name in names):
        for label, path in job.outputs.of(name).items():
            if label not in same:
                job.outputs.drop(path)
                dropped.add(label)
    return len(dropped)


def results_key(job: Job) -> str:
    """Hash of what decides the results of any scan: what decides its score, the calibration, this writer."""
    options = job.options
    judged = options.alert_rate, "modality" in options.read.accept
    parts = [job.ledger.job, job.bundle.hash, job.engine.name, judged, __version__, WRITER]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def maker_of(job: Job, record: DicomRecord | None) -> Maker:
    """told: of the results of before, whose report the new one takes the place of where it says something else."""
    name, organ = job.bundle.preset.name, organ_of(job.bundle.preset)
    earlier = record and Earlier(record["uid"], _pair(record["report"]), _pair(record["supersedes"]))
    return Maker(results_key(job), job.bundle.hash, name, job.engine.name, __version__, organ, earlier=earlier)


def organ_of(preset: Preset) -> str:
    """What a preset judges, as its name and its intensities say together; "" for one that its user named."""
    known = {**ORGANS, "tiny": "brain"}.items()
    organ = next((organ for start, organ in known if preset.name.startswith(start)), "")
    return organ if (organ == "chest") == (preset.intensity.method == "hu") else ""


def _pair(uids: list[str] | None) -> tuple[str, str] | None:
    return (uids[0], uids[1]) if uids else None


def outdated(job: Job, known: Known) -> bool:
    """Whether a scored scan lacks DICOM results that are asked for, or has them of another calibration."""
    if not (job.options.dicom and known.scored):
        return False
    told = job.ledger.result(known).dicom
    if told is None or told["key"] != results_key(job):
        return True
    refused = {kind for kind, *_ in told["refused"]}
    if "pm" in refused and told["limit"] != job.options.max_map:
        return True
    made = [OBJECTS[kind] for kind in job.options.dicom if kind not in refused]
    lost = any(job.outputs.lost(name, known) for names in made for name in names)
    return lost or any(not job.outputs.has(first, known) for first, *_ in made)


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
            found.append(Failure(row.label, NO_DICOM, text, remedy, file))
    return found
