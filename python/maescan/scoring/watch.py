"""`maescan watch`: scores scans as they finish arriving, with the engine loaded and the readers started."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maescan import files
from maescan.errors import ConfigError, DataError
from maescan.scans.source import ScanSource
from maescan.scoring.arrivals import Arrivals
from maescan.scoring.job import KEPT, Event, Job
from maescan.scoring.ledger import place_of
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import check_apart, opened_job, score_sources
from maescan.scoring.summary import Summary, draw_worst, write_results


def watch_folder(
    inbox: Path,
    bundle: Any,
    engine: Any,
    out: Path,
    options: ScoreOptions | None = None,
    event: Event | None = None,
    *,
    timing: WatchOptions = WatchOptions(),
    stop: threading.Event | None = None,
) -> Summary:
    """Scores scans that arrive in `inbox` until `stop` is set; those in flight are scored to the end.

    A file (of DICOM: its folder) must stand still for `timing.settle_s`. Events "scored" and "failed" carry
    latency_s, from the last byte to the result. Raises ConfigError where `out` lies in the inbox, DataError where
    there is no inbox or `out` cannot be written or is being written by another run.
    """
    if not inbox.is_dir():
        raise DataError("is no folder", path=inbox, remedy="create it, or check the path")
    if out.resolve().is_relative_to(inbox.resolve()):
        raise ConfigError("the output lies inside the inbox", path=out, remedy="use an --out beside it")
    check_apart([inbox], out)
    options = options or ScoreOptions()
    watch = _Watch(inbox, out, event or (lambda name, facts: None), timing, stop or threading.Event())
    with opened_job(bundle, engine, out, options, watch.report) as job:
        return watch.go(job)


class _Watch:
    def __init__(self, inbox: Path, out: Path, event: Event, timing: WatchOptions, stop: threading.Event):
        self.arrivals, self.out, self.event = Arrivals(inbox, timing.settle_s), out, event
        self.poll, self.stop = timing.poll_s, stop
        self.arrived: dict[tuple[str, str], float] = {}
        self.latencies: deque[float] = deque(maxlen=KEPT)
        self.written = time.monotonic()
        self.news = False

    def go(self, job: Job) -> Summary:
        self.event("watching", {"inbox": str(self.arrivals.inbox)})
        score_sources(self._sources(job), job, job.options.workers)
        draw_worst(job)
        return self._write(job)

    def _sources(self, job: Job) -> Iterator[ScanSource]:
        """Waits for arrivals; the readers draw from here in turn."""
        while not (self.stop.is_set() or job.broken):
            for source, arrived in list(self.arrivals.poll()):  # in one thread from beginning to end
                self.arrived[_which(source)] = arrived
                yield source
                if self.stop.is_set():
                    return
            if self.news and (not self.arrived or time.monotonic() - self.written > 30):
                self._write(job)
            self.stop.wait(self.poll)

    def report(self, source: ScanSource, name: str, facts: dict[str, Any]) -> None:
        latency = time.time() - self.arrived.pop(_which(source), time.time())
        if name == "scored":
            self.latencies.append(latency)
        self.news = self.news or name != "skipped"
        self.event(name, facts if name == "skipped" else {**facts, "latency_s": round(latency, 3)})

    def _write(self, job: Job) -> Summary:
        """The tables of all that the ledger holds, and watch.json."""
        self.news, self.written = False, time.monotonic()
        summary = write_results(job, roots=[self.arrivals.inbox])
        p50, p95 = np.percentile(self.latencies, [50, 95]) if self.latencies else (None, None)
        latency = {"p50": p50, "p95": p95, "scans": len(self.latencies)}
        failed = len(job.ledger.failures())
        files.write_json(job.outputs.path("watch.json"), {"latency_s": latency, "failed": failed})
        return summary


def _which(source: ScanSource) -> tuple[str, str]:
    return source.identity, place_of(source)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set. A second signal ends the process as usual."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: Any) -> None:
        stop.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
