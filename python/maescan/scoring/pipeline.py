"""Scoring scans: read and preprocess (processes) -> batch across scans -> engine -> aggregate -> write.

The engine runs in the calling thread and sets the pace; the queue before it is bounded by bytes, so memory does
not grow with the folder. A scan that fails becomes a row of failures.csv and never stops the others. `score`, `watch`
and Ray all come here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maescan import files
from maescan.config.types import Json
from maescan.datasets.ill import refuse_reference
from maescan.datasets.table import patients_of
from maescan.decimals import counted
from maescan.errors import ConfigError, DataError, DeviceLostError, EngineError, MaescanError, escaped, limited
from maescan.method import regions
from maescan.method import score as steps
from maescan.method.heat import mapped_slices
from maescan.method.raw import gathered
from maescan.method.tokens import TokenSets
from maescan.scans.find import Found
from maescan.scans.quiet import one_line
from maescan.scans.source import PassedOver, ScanSource
from maescan.scoring.alerts import settle, told_of
from maescan.scoring.batches import Slice, batches
from maescan.scoring.drawing import Drawing, draw_missing
from maescan.scoring.job import Event, Job, Report, job_key, listing_key, one_at_a_time
from maescan.scoring.ledger import Ledger
from maescan.scoring.merge import unmerged
from maescan.scoring.names import kept_in, names_of
from maescan.scoring.options import ScoreOptions, Shard
from maescan.scoring.pool import ReaderPool
from maescan.scoring.readers import told_apart
from maescan.scoring.summary import Listing, Summary, write_results
from maescan.scoring.writer import ScanWriter

NAMED = 3
"""How many files of a kind a note names."""


def score_folder(
    paths: Sequence[Path],
    bundle: Any,
    engine: Any,
    out: Path,
    options: ScoreOptions | None = None,
    event: Event | None = None,
) -> Summary:
    """Scores every scan under `paths` and writes scores.csv, scans.csv, failures.csv, run.json, maps/ into `out`,
    whose tables cover all that was ever scored into it.

    Raises DataError when there is no scan, a healthy one is called ill, or when `out` cannot be written, is being
    written by another run or holds what maescan did not write; ConfigError for scans that lie inside `out`, and as
    `opened_job` does.
    """
    from maescan.scans.budget import Limits
    from maescan.scans.search import search_all

    options, tell = options or ScoreOptions(), one_at_a_time(event or (lambda name, facts: None))
    names = names_of(options.pseudonyms)
    with kept_in(names, [out], *paths):
        check_apart(paths, out)

        def report(_: ScanSource, name: str, facts: Json) -> None:
            tell(name, facts)

        files.check_claim(out, _kind(options))  # before a search that may take long
        everything = search_all(paths, Limits.of(options.read))
        found = chosen(everything, options)
        ours = _ours(names.found(found), paths)
        if not found.sources:
            lost = sum(item.why == "excluded" for item in found.passed_over)
            none = f"of {counted(lost, 'scan')} none is left by --include and --exclude" if lost else "no scans found"
            remedy = "see which files maescan reads with `maescan inspect`"
            raise DataError("; ".join([none, *ours]), path=paths[0], remedy=remedy)
        for path in paths if options.healthy else ():
            refuse_reference(Path(path), found, options.wants)
        with opened_job(bundle, engine, out, options, report) as job, told_of(event, job):
            told = told_apart(found.sources, options.read)
            sources = [source for source in told if in_shard(source, options.shard)]
            tell_replaced(job, tell)
            tell("found", {"scans": len(sources)})
            job.ledger.presence.expect(everything, paths)
            job.ledger.expect(found.sources)
            score_sources(sources, job, min(options.workers, len(sources)))
            job.ledger.db.check_there()
            draw_missing(job)
            passed, key = names.found(found).passed_over, names.code(listing_key(found.sources))
            summary = write_results(job, Listing(key, len(found.sources), len(sources), passed), roots=paths)
            summary.notes = [*summary.notes, *ours]
            if options.healthy:
                summary.whose = {names.label(scan): whose for scan, whose in patients_of(sources).items()}
            tell_population(summary, tell)
            settle(event, job, summary.alerting)
            return summary


def chosen(found: Found, options: ScoreOptions) -> Found:
    """Without what `include` and `exclude` leave out, which is passed over."""
    out = [source for source in found.sources if not options.wants(source.name)]
    reason = "is left out by --include or --exclude"
    passed = [PassedOver(source.name, source.path, "excluded", reason) for source in out]
    kept = [source for source in found.sources if options.wants(source.name)]
    return replace(found, sources=kept, passed_over=[*found.passed_over, *passed])


def _ours(found: Found, paths: Sequence[Path]) -> list[str]:
    """What is to be said where somebody gave what maescan wrote, or scans that it does not read: they are passed
    over."""
    given = {Path(path) for path in paths}
    all_of_it = not found.sources
    ours = [i.name for i in found.passed_over if i.why == "output" and (i.path in given or all_of_it)]
    unread = [item.name for item in found.passed_over if item.why == "unread"]
    told = [
        (ours, "written by maescan, which is no input, and passed over"),
        (unread, "may be scans, and cannot be read or are of no kind that is: not scored, see passed_over.csv"),
    ]
    return [escaped(f"{_named(names)}: {reason}") for names, reason in told if names]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def tell_population(summary: Summary, tell: Event, told: set[str] | None = None) -> None:
    """Events "unusual" and "changed" where the scans are not like the calibration's; told: those told before."""
    told = set() if told is None else told
    population = summary.population
    for name, reason in population.warnings().items() if population else ():
        if population and name not in told:
            told.add(name)
            facts = {"scan": population.changed_at, "capital": population.capital} if name == "changed" else {}
            tell(name, {**facts, "alerts": population.alerts, "judged": population.judged, "reason": reason})


def tell_replaced(job: Job, tell: Event) -> None:
    """Event "replaces", before anything is, where a folder holds scans of another job."""
    if reason := job.outputs.replaced():
        tell("replaces", {"reason": escaped(f"{job.out} {reason}")})


def _kind(options: ScoreOptions) -> str:
    kind = names_of(options.pseudonyms).kind
    return f"a calibration of {kind}" if options.healthy else kind


@contextlib.contextmanager
def opened_job(bundle: Any, engine: Any, out: Path, options: ScoreOptions, report: Report) -> Iterator[Job]:
    """A job on `out`, which no other run may write into meanwhile. Raises DataError; ConfigError for a bundle of CT
    patches without regions, regions for any other, and regions of another kind than its healthy scans'."""
    regions.check(bundle.preset, options.read.regions)
    if not options.healthy:
        regions.check_reference(bundle.manifest, options.read.regions)
    names = names_of(options.pseudonyms)
    ledger = Ledger(out, job_key(bundle, engine.name, options), names, kind=_kind(options))
    try:
        files.remove_partial(out)
        unmerged(out)
        yield Job(bundle, engine, out, options, ledger, report)
    finally:
        ledger.close()


def score_sources(sources: Iterable[ScanSource], job: Job, workers: int) -> None:
    """Scores scans as they come, from a folder or an inbox, into the job's ledger; maps beside it."""
    pool = ReaderPool(job, iter(sources), max(1, workers))
    try:
        drawing = Drawing(job)
        with ScanWriter(job) as writer:
            for batch in batches(pool, job.options.batch or job.engine.batch):
                if job.broken is not None:
                    break
                _score(batch, job)
                for scan in {id(scan): scan for scan, _ in batch if not scan.left}.values():
                    drawing.add(scan)
                    pool.release(scan)
                    writer.add(scan)
    except BaseException as error:  # readers stop by themselves, finished scans are still recorded
        job.stop(error)
    if job.broken is not None:
        raise job.broken


def _score(batch: list[Slice], job: Job) -> None:
    """Fills in the scores of a batch. What an engine refuses costs the scan whose slices it refuses alone."""
    try:
        _score_together([each for each in batch if each[0].fault is None], job)
    except DeviceLostError:  # no scan's fault
        raise
    except Exception:
        for scan in {id(scan): scan for scan, _ in batch if scan.fault is None}.values():
            try:
                _score_together([each for each in batch if each[0] is scan], job)
            except DeviceLostError:
                raise
            except Exception as error:
                scan.fault = _engine_error(error)
    for scan, _ in batch:
        scan.left -= 1


def _engine_error(error: Exception) -> MaescanError:
    if isinstance(error, MaescanError):
        return error
    if scarce := limited(error):  # no bundle's fault either
        return EngineError(f"the engine failed: {scarce.reason}", remedy=scarce.remedy)
    reason = f"the engine failed: {type(error).__name__}: {one_line(error)}"
    return EngineError(reason, remedy="check the bundle with `maescan verify`")


def _score_together(batch: list[Slice], job: Job) -> None:
    if not batch:
        return
    start = time.perf_counter()
    images = gathered([(scan.images, index) for scan, index in batch])
    ids = np.array([scan.reading.prepared.keys[index] for scan, index in batch], dtype=np.uint64)
    preset, found = job.bundle.preset, [(scan.reading.facts["sets"], index) for scan, index in batch]
    sets = None if found[0][0] is None else TokenSets.gathered(found)
    scored = mapped_slices if job.options.mapped else steps.score_slices
    result = scored(images, ids, job.engine, preset, sets=sets)
    job.times["engine"].append(time.perf_counter() - start)
    for row, (scan, index) in enumerate(batch):
        scan.scores[index] = result.score[row]
        if scan.maps is not None and result.difference is not None:
            scan.maps[index] = result.difference[row]


def in_shard(source: ScanSource, shard: Shard) -> bool:
    """Whether a scan belongs to this part: told by the scan itself, so that no other scan moves it."""
    which = hashlib.sha256((source.identity or source.name).encode("utf-8", "surrogatepass")).digest()
    number, parts = shard
    return int.from_bytes(which[:8], "big") % parts == number - 1


def check_apart(paths: Sequence[Path], out: Path) -> None:
    """Raises ConfigError for scans inside the output folder: what is written there is never an input."""
    for path in paths:
        if _real(path).is_relative_to(_real(out)):
            raise ConfigError("lies inside the output folder", path=path, remedy="use another --out")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
