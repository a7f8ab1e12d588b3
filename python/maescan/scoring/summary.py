"""The end of a run: tables, report and run.json of all that the output folder holds."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maescan import __version__, files
from maescan.decimals import counted
from maescan.errors import ScanError, escaped
from maescan.results import maps, pictures, tables
from maescan.results.cards import Seen
from maescan.results.geometry import Geometry
from maescan.results.paths import PLACES
from maescan.results.report import write_report
from maescan.scans.source import LOOKED_INTO, PassedOver
from maescan.scoring import dicom, viewing
from maescan.scoring.edited import edited_kept
from maescan.scoring.job import Job
from maescan.scoring.options import Format
from maescan.scoring.places import renamed
from maescan.scoring.population import Population

TABLES = ("scores.csv", "scans.csv", "failures.csv", "run.json", "report.html", "watch.json", "passed_over.csv")


EDITED = ("scores.csv", "scans.csv", "failures.csv", "regions.csv", "passed_over.csv")
"""Tables that people write into."""
NAMED = 3
"""How many scans of a kind a note names."""


@dataclass(frozen=True)
class Listing:
    """What a search found. key: hash of it; scans: how many in all shards; ours: how many in this one."""

    key: str
    scans: int
    ours: int
    passed_over: Sequence[PassedOver] = ()


@dataclass
class Summary:
    """What a run did. scored: the rows that scans.csv has of its scans; skipped: how many of them had been scored
    before; stages: seconds. archive: scans in the tables; gone: labels of those that are no longer
    where they were; other_jobs: scans scored otherwise, which are in no table; passed_over: how much could be read
    and is no scan, by why; population: whether all scans are like the calibration's; refused: why scored scans have
    no DICOM results; notes: what was found wrong with the folder; alerting: labels of all in the tables that alert;
    whose: by its label whom a scan is of, of healthy ones that a bundle is calibrated with."""

    scored: list[dict[str, Any]]
    failures: list[dict[str, str]]
    skipped: int
    seconds: float
    slices: int
    stages: dict[str, dict[str, float]]
    calibration: dict[str, Any] | None = None
    archive: int = 0
    gone: Sequence[str] = ()
    other_jobs: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    population: Population | None = None
    refused: Sequence[dict[str, str]] = ()
    notes: Sequence[str] = ()
    alerting: Sequence[str] = ()
    whose: Mapping[str, str] = field(default_factory=dict)


def write_results(
    job: Job, listing: Listing | None = None, *, roots: Sequence[Path] = (), seconds: float | None = None
) -> Summary:
    """Writes what the job's ledger holds into its folder; removes what other jobs left there."""
    with job.files:
        seconds = time.perf_counter() - job.start if seconds is None else seconds
        gone, reference = job.ledger.gone(roots), job.reference
        rows = job.ledger.rows()
        refused = dicom.refusals(rows, job.options.dicom)
        known = job.tables(rows, sorted([*job.ledger.failures(), *refused]))
        judged = [dict(zip(tables.SCANS, row, strict=True)) for row in known.scans()]
        scored = [row for row in judged if row["scan"] in job.seen]
        failures = [job.failed[label]._asdict() for label in sorted(job.failed)]
        summary = Summary(scored, failures, job.skipped, seconds, job.slices, job.stages())
        summary.refused = [failure._asdict() for failure in refused if failure.scan in job.seen]
        summary.alerting = [str(row["scan"]) for row in judged if row["alert"] == "yes"]
        summary.calibration = reference.state() if reference else None
        summary.population = Population.of(known, reference)
        summary.passed_over = Counter(item.why for item in job.passed_over)
        summary.archive, summary.gone, summary.other_jobs = len(known.rows), gone, job.ledger.of_other_jobs()
        summary.notes = [job.ledger.names.told(note, job.out) for note in job.ledger.db.notes]
        if count := job.outputs.tidy():
            why = "were of another bundle, engine or options of reading and are gone: --maps makes new ones"
            summary.notes = [*summary.notes, f"the maps of {counted(count, 'scan')} {why}"]
        viewing.drop_outdated(job)
        if count := dicom.drop_outdated(job, rows):
            why = "were of another calibration, alert rate or --accept and are gone: --dicom-out makes new ones"
            summary.notes = [*summary.notes, f"the DICOM results of {counted(count, 'scan')} {why}"]
        summary.notes = [*summary.notes, *_renamed(job), *_replaced(job)]
        _keep_pictures(job, known)
        summary.notes = [*summary.notes, *_refresh_maps(job)]
        passed = [*(listing.passed_over if listing else ()), *sorted(job.passed_over, key=lambda item: item.name)]
        with edited_kept(job.out, EDITED) as notes:
            summary.notes = [*summary.notes, *notes]
            job.ledger.db.notes.extend(notes)  # a watch writes its tables often, and says at its end what it kept
            _write(job, known, run_record(job, summary, listing))
            if listing:
                lines = [(item.name, item.why, escaped(item.reason)) for item in passed]
                tables.write_csv(job.outputs.path("passed_over.csv"), ("file", "why", "reason"), lines)
        if listing:
            came = len(scored) + len(failures) + sum(item.why in LOOKED_INTO for item in passed)
            if came != listing.ours:
                raise AssertionError(f"{listing.ours} scans were found, of {came} is known what came of them")
        return summary


def _renamed(job: Job) -> list[str]:
    """Says which scans' files or folders are called otherwise than they are here. Pseudonyms are none of their
    names."""
    if job.options.pseudonyms:
        return []
    rows = job.ledger.db.all("SELECT label, place FROM scans WHERE identity = content AND scores NOT NULL")
    found = dict(renamed((label, os.fsdecode(place)) for label, place in rows)) | job.renamed
    said = "scans keep the name that they came with, and files or folders were renamed"
    return _named(said, [f"{label} is {name} now" for label, name in sorted(found.items())])


def _replaced(job: Job) -> list[str]:
    """Says whose scores are no longer there."""
    said = "files held other content than was scored of them, and the scores of that are gone"
    return _named(said, sorted(job.ledger.replaced))


def _named(said: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [escaped(f"{said}: {', '.join(names[:NAMED])}{more}")] if names else []


def _now() -> datetime:
    """With the zone of this place; where TZ names none that there can be, UTC."""
    try:
        return datetime.now().astimezone()
    except ValueError:
        return datetime.now(UTC)


def run_record(job: Job, summary: Summary, listing: Listing | None) -> dict[str, Any]:
    """run.json: what ran, and what came of each scan that was found."""
    return {
        "maescan": __version__,
        "written": _now().isoformat(timespec="seconds"),
        "bundle": {
            "path": job.ledger.names.own(job.bundle.path),
            "hash": job.bundle.hash,
            "cautions": job.bundle.cautions(),
        },
        "engine": job.engine.name,
        "calibration": summary.calibration,
        "population": summary.population.state() if summary.population else None,
        "job": job.ledger.job,
        "options": job.options.to_json(),
        "listing": {"key": listing.key, "scans": listing.scans} if listing else None,
        "scans": {
            "found": listing.ours if listing else len(summary.scored) + len(summary.failures) + len(job.passed_over),
            "scored": len(summary.scored),
            "failed": len(summary.failures),
            "already_done": summary.skipped,
            "passed_over": (len(listing.passed_over) if listing else 0) + len(job.passed_over),
        },
        "archive": {"scans": summary.archive, "gone": list(summary.gone), "other_jobs": summary.other_jobs},
        # which of the folder's scans are of this run, for a merge: others were scored before
        "labels": sorted({*job.seen, *job.failed}) if listing else None,
        "notes": list(summary.notes),
        "seconds": summary.seconds,
        "slices_per_second": summary.slices / summary.seconds if summary.seconds else 0.0,
        "stages": summary.stages,
    }


def _write(job: Job, known: tables.Tables, run: dict[str, Any]) -> None:
    path, slices, regions = job.outputs.path, known.slices(), known.regions()
    tables.write_csv(path("scores.csv"), tables.SLICES, slices)
    tables.write_csv(path("scans.csv"), tables.SCANS, known.scans())
    tables.write_csv(path("failures.csv"), tables.FAILURES, known.failures)
    if job.options.format is Format.parquet:
        tables.write_parquet(path("scores.parquet"), tables.SLICES, slices)
    if regions:
        tables.write_csv(path("regions.csv"), tables.REGIONS, regions)
    files.write_json(path("run.json"), run)
    outputs = {kind: _there(job.outputs.of(kind)) for kind in PLACES}
    curves = (job.bundle.manifest.get("calibration") or {}).get("profile") if job.reference else None
    patches = job.options.read.regions is not None
    seen = Seen(job.out, job.scale, outputs, job.ledger.places(), patches, curves)
    write_report(path("report.html"), known, run, seen)
    more = {"regions.csv": bool(regions), "scores.parquet": job.options.format is Format.parquet}
    job.outputs.keep([*TABLES, *(name for name, written in more.items() if written)])


def _there(listed: Mapping[str, Path]) -> dict[str, Path]:
    """Without what was taken away."""
    return {label: path for label, path in listed.items() if path.exists()}


def _keep_pictures(job: Job, known: tables.Tables) -> None:
    """Removes the pictures of scans that are no longer among the drawn; forgets sources that will not be drawn."""
    chosen = {row.label for row in pictures.wanted(known, job.options.pictures)}
    for label, path in job.outputs.of("picture").items():
        if label not in chosen:
            job.outputs.drop(path)
    for label in set(job.sources) - chosen:
        job.sources.pop(label, None)


def _refresh_maps(job: Job) -> list[str]:
    """Brings maps up to date that were written under another calibration: headers, and how many healthy scans are as
    high, also where that was lost or is damaged; says which could not be. Of CT patches there is nothing that a
    calibration changes."""
    notes = list[str]()
    if job.options.read.regions is not None:
        return notes
    rows = job.ledger.rows()
    judged = {row.label for row in rows if job.scale.healthy and job.judges(row.fit)}
    places = {row.label: Geometry.from_json(row.geometry) for row in rows}
    for label, path in job.outputs.of("exceedance").items():
        if label not in judged:
            job.outputs.drop(path)
    found = job.outputs.of("exceedance").items()
    exceedances = {label for label, path in found if maps.map_key(path) == job.scale.key}
    for label, path in job.outputs.of("map").items():
        if not path.is_file():
            continue
        old = maps.map_key(path) != job.scale.key
        if not old and (label not in judged or label in exceedances):
            continue
        try:
            volume, affine, placed = maps.read_map(path)
            if job.scale.healthy and label in judged:
                target = job.outputs.path("exceedance", job.ledger.known(label))
                maps.write_exceedance(target, volume, (affine, placed), job.scale, places[label])
        except ScanError as error:  # damaged, or the user's own
            name = error.path.relative_to(job.out) if isinstance(error.path, Path) else label
            notes.append(f"{name} {error.reason}: {error.remedy}")
            continue
        if old:
            maps.write_map(path, volume, affine, job.scale, placed)
    return notes
