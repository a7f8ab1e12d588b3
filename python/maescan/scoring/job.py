"""What all parts of a run share, and what they count."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from maescan.config.types import Json
from maescan.engines.bundle import Bundle
from maescan.errors import MaescanError, NoScanError, escaped
from maescan.method.engine import CompiledEngine
from maescan.method.gate import Fit
from maescan.results.maps import Scale
from maescan.results.rows import Failure, ScanRow
from maescan.results.tables import SCANS, Tables
from maescan.scans.source import PassedOver, ScanSource
from maescan.scoring.conformal import Reference
from maescan.scoring.ledger import Known, Ledger
from maescan.scoring.options import ScoreOptions
from maescan.scoring.outputs import Outputs
from maescan.scoring.places import called_now

Facts = Json
Event = Callable[[str, Facts], None]
Report = Callable[[ScanSource, str, Json], None]
"""Told of a source: "scored", "failed", "skipped" or "passed_over", with the facts of the event."""

KEPT = 10_000
"""Times of a stage that are remembered, so that months of watching do not fill the memory."""

BROKE_OFF = "incomplete: its sender broke off, or images of it were refused"
"""A note that ends when the rest comes, or all of the scan again: scores and content may be the same then."""


@dataclass
class Job:
    """A bundle and its engine, the folder that is written into, and what came of the scans so far.

    seen: labels of this run's scans that were scored, now or before; sources: those that may still be drawn;
    renamed: what scans are called now whose label says otherwise; slices: scored in this run; passed_over: what could
    be read and is no scan; broken: what ends it; files: held while a scan's outputs are written, until its scores are
    recorded, and while outputs without such a score are removed."""

    bundle: Bundle
    engine: CompiledEngine
    out: Path
    options: ScoreOptions
    ledger: Ledger
    report: Report
    seen: set[str] = field(default_factory=set)
    failed: dict[str, Failure] = field(default_factory=dict)
    sources: dict[str, ScanSource] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    passed_over: list[PassedOver] = field(default_factory=list)
    skipped: int = 0
    slices: int = 0
    start: float = field(default_factory=time.perf_counter)
    broken: BaseException | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.outputs = Outputs(self.ledger)
        none = self.options.healthy  # scans of a reference to come: the one before says nothing of it
        self.reference = None if none else Reference.of(self.bundle.manifest, self.options.alert_rate)
        self.times: dict[str, deque[float]] = defaultdict(partial(deque, maxlen=KEPT))
        self._mutex, self.files = threading.Lock(), threading.Lock()

    @cached_property
    def scale(self) -> Scale:
        """How maps are written and coloured."""
        return Scale.of(self.bundle.preset, self.bundle.manifest.get("calibration") if self.reference else None)

    def judges(self, fit: str) -> bool:
        """Whether a scan that fits so gets more than a score: a p-value, and what says that of a voxel."""
        return fit != Fit.other or "modality" in self.options.read.accept

    def tables(self, rows: Sequence[ScanRow], failures: Sequence[Failure] = ()) -> Tables:
        """What these come to, with the bundle's rule and reference."""
        rule, any_kind = self.bundle.manifest.get("aggregation"), "modality" in self.options.read.accept
        return Tables(rows, failures, rule, self.reference, any_kind)

    def done(self, source: ScanSource, known: Known) -> bool:
        """Whether there is nothing to do for a scan; it is counted then."""
        lost = self.options.maps and not self.outputs.has("map", known)
        lost = lost or (self.options.measured and not self.ledger.has_heat(known))
        lost = lost or self._has_news(source, known)
        if self.options.force or lost or not known.scored:
            return False
        with self._mutex:
            self.skipped += 1
            self._came(known.label, source)
        self.report(source, "skipped", {"scan": known.label})
        return True

    def _has_news(self, source: ScanSource, known: Known) -> bool:
        """Whether what is noted of a scan now is not what was noted when it was scored."""
        if not known.scored:
            return False
        told, around, before = self.ledger.names.told, named(source), set(self.ledger.result(known).warnings)
        notes = {told(note, *around) for note in source.notes}
        return not notes <= before or BROKE_OFF in before - notes

    def fail(self, source: ScanSource, known: Known, stage: str, error: MaescanError) -> None:
        """Records that a scan could not be scored, and why. It has no scores then, unless `Ledger.keeps` them."""
        failure = self.ledger.names.failure(Failure.of(known.label, stage, error), *named(source))
        if self.ledger.keeps(known):
            failure = failure._replace(reason=f"{failure.reason}; its scores of before stay")
        self.ledger.fail(known, failure)
        with self._mutex:
            self.seen.discard(known.label)
            self.failed[known.label] = failure
        self.report(source, "failed", failure._asdict())

    def pass_over(self, source: ScanSource, known: Known, error: NoScanError) -> None:
        """Counts what can be read and is no scan; nothing is kept of it."""
        self.ledger.forget(known)
        reason = escaped(error.reason + (f" ({error.remedy})" if error.remedy else ""))
        reason = self.ledger.names.told(reason, *named(source))
        with self._mutex:
            self.seen.discard(known.label)
            self.failed.pop(known.label, None)
            self.passed_over.append(PassedOver(known.label, source.path, error.why, reason))
        self.report(source, "passed_over", {"scan": known.label, "reason": reason})

    def scored(self, source: ScanSource, known: Known, row: ScanRow) -> None:
        """Counts a scan that is in the ledger now."""
        with self._mutex:
            self.slices += len(row.scores)
            self._came(known.label, source)
        self.report(source, "scored", self.facts(row))

    def facts(self, row: ScanRow) -> Facts:
        """What is told of a scored scan."""
        tables = self.tables([row])
        facts = dict(zip(SCANS, tables.scans()[0], strict=True))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        judged = {name: facts[name] if facts[name] != "" else None for name in ("p_value", "alert")}
        return {**facts, **judged, "warnings": tables.notes(row), "time": now}

    def _came(self, label: str, source: ScanSource) -> None:
        self.failed.pop(label, None)
        self.seen.add(label)
        self.renamed.pop(label, None)
        if name := "" if self.options.pseudonyms else called_now(label, source):
            self.renamed[label] = name
        if self.options.pictures:
            self.sources[label] = source

    def stop(self, error: BaseException) -> None:
        """Ends the run with the first of the errors that are no scan's."""
        self.broken = self.broken or error
        self.stopped.set()

    def stages(self) -> dict[str, dict[str, float]]:
        """Seconds per stage: percentiles, and `busy`, the share of the run's time."""
        seconds, stages = time.perf_counter() - self.start, {}
        for stage, values in list(self.times.items()):
            p50, p95, p99 = (float(value) for value in np.percentile(list(values), [50, 95, 99]))
            stages[stage] = {"busy": sum(values) / seconds, "p50": p50, "p95": p95, "p99": p99}
        return stages


def named(source: ScanSource) -> tuple[object, ...]:
    """What names a scan."""
    return source.name, source.path, *source.members, *(file.name for file in source.files)


def one_at_a_time(event: Event) -> Event:
    """An event that many threads tell, one after the other: no line of JSON begins inside another."""
    mutex = threading.Lock()

    def tell(name: str, facts: dict[str, object]) -> None:
        with mutex:
            event(name, facts)

    return tell


def job_key(bundle: Bundle, engine: str, options: ScoreOptions) -> str:
    """Hash of all that decides a score or a warning: the engine's files, preset and golden slices, what training's
    intensities were, how scans are read. Not the calibration, nor what is drawn."""
    parts = [bundle.fingerprint(engine), engine, bundle.manifest.get("intensity"), options.read.key()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def listing_key(sources: Iterable[ScanSource]) -> str:
    """Hash of the scans that a search found: their labels and sizes. Shards of one folder have the same."""
    found = sorted([source.name, source.identity, *(_size(file) for file in source.files)] for source in sources)
    return hashlib.sha256(json.dumps(found).encode("utf-8", "surrogatepass")).hexdigest()


def _size(file: Path) -> str:
    try:
        return str(file.stat().st_size)
    except OSError:
        return ""
