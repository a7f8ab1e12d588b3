"""`maescan watch`: scores scans as they finish arriving, with the engine loaded and the readers started."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maescan import files as outputs
from maescan.errors import ConfigError, DataError
from maescan.scoring.arrivals import Arrivals
from maescan.scoring.ledger import Ledger
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import Event, Summary, _Run, _write_tables

KEPT = 10_000
"""Latencies and times of stages that are remembered, so that months do not fill the memory."""


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
    options = options or ScoreOptions()
    key = {"bundle": bundle.hash, "engine": engine.name, "options": options.key()}
    ledger = Ledger(out, hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest())
    try:
        outputs.remove_halves(out)
        watch = _Watch(inbox, out, event or (lambda name, facts: None), timing, stop or threading.Event())
        return watch.go(bundle, engine, options, ledger)
    finally:
        ledger.close()


class _Watch:
    def __init__(self, inbox: Path, out: Path, event: Event, timing: WatchOptions, stop: threading.Event):
        self.arrivals, self.out, self.event = Arrivals(inbox, timing.settle_s), out, event
        self.poll, self.stop = timing.poll_s, stop
        self.arrived: dict[str, float] = {}
        self.failed: dict[str, dict[str, str]] = {}
        self.latencies: deque[float] = deque(maxlen=KEPT)
        self.start = self.written = time.monotonic()
        self.news = False

    def go(self, bundle: Any, engine: Any, options: ScoreOptions, ledger: Ledger) -> Summary:
        self.run = _Run([], bundle, engine, self.out, options, ledger, self._report)
        self.run.total, self.run.todo = options.workers, self._sources(ledger)
        self.run.times = defaultdict(partial(deque, maxlen=KEPT))  # type: ignore[arg-type]
        summary = self.run.go()
        self._write(ledger, summary)
        return summary

    def _sources(self, ledger: Ledger) -> Iterator[Any]:
        """Waits for arrivals; the readers draw from here in turn."""
        while not (self.stop.is_set() or self.run.broken):
            for source, arrived in self.arrivals.poll():
                self.arrived[source.name] = arrived
                yield source
                if self.stop.is_set():
                    return
            if self.news and (not self.arrived or time.monotonic() - self.written > 30):
                self._write(ledger, Summary([], [], self.run.skipped, time.monotonic() - self.start, 0, {}))
            self.stop.wait(self.poll)

    def _report(self, name: str, facts: dict[str, Any]) -> None:
        if name == "found":
            self.event("watching", {"inbox": str(self.arrivals.inbox)})
            return
        scan = facts["scan"]
        latency = time.time() - self.arrived.pop(scan, time.time())
        self.run.failures.clear()
        self.failed.pop(scan, None)
        if name == "failed":
            self.failed[scan] = dict(facts)
        if name == "scored":
            self.latencies.append(latency)
        self.news = self.news or name != "skipped"
        self.event(name, facts if name == "skipped" else {**facts, "latency_s": round(latency, 3)})

    def _write(self, ledger: Ledger, summary: Summary) -> None:
        """The tables of all that the ledger holds, and watch.json."""
        self.news, self.written = False, time.monotonic()
        summary.failures = list(self.failed.values())
        names = [name for name in ledger.names() if name not in self.failed]
        run = self.run
        _write_tables(self.out, run.bundle, run.engine, run.options, ledger, names, summary)
        p50, p95 = np.percentile(self.latencies, [50, 95]) if self.latencies else (None, None)
        latency = {"p50": p50, "p95": p95, "scans": len(self.latencies)}
        outputs.write_json(self.out / "watch.json", {"latency_s": latency, "failed": len(self.failed)})


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
