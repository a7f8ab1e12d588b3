"""`maescan watch`: scores scans as they finish arriving, with the engine loaded and the readers started."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from maescan import files
from maescan.config.types import Json
from maescan.engines.bundle import Bundle
from maescan.errors import ConfigError, DataError, ScanError
from maescan.method.engine import Engine
from maescan.results.rows import state_of
from maescan.scans.budget import Limits
from maescan.scans.source import ScanSource
from maescan.scans.worker import Worker, WorkerLostError
from maescan.scoring.alerts import settle, told_of
from maescan.scoring.arrivals import Arrivals, Arrived, Poll
from maescan.scoring.database import GoneError
from maescan.scoring.drawing import draw_missing
from maescan.scoring.job import KEPT, Event, Job, one_at_a_time
from maescan.scoring.moved import look_for_moved
from maescan.scoring.names import kept_in, names_of
from maescan.scoring.options import ScoreOptions, WatchOptions
from maescan.scoring.pipeline import check_apart, opened_job, score_sources, tell_population, tell_replaced
from maescan.scoring.places import place_of
from maescan.scoring.room import await_room, waited
from maescan.scoring.summary import Summary, write_results


@dataclass(frozen=True)
class Inbox:
    """A folder that scans arrive in. timing: when they are whole; stop: ends the watch."""

    path: Path
    timing: WatchOptions = WatchOptions()
    stop: threading.Event = field(default_factory=threading.Event, compare=False)


def watch_folder(
    inbox: Inbox,
    bundle: Bundle,
    engine: Engine,
    out: Path,
    options: ScoreOptions = ScoreOptions(),
    event: Event | None = None,
) -> Summary:
    """Scores scans that arrive in `inbox` until `inbox.stop` is set; those in flight are scored to the end.

    All files of a scan (of a series: all with its UID) must stand still for `timing.settle_s`. Events: "arriving"
    when a scan begins to come; "away" where the inbox cannot be looked into, "full" where `out` takes no more, and
    "watching" again; "scored" and "failed" carry latency_s, from the last byte to the result, and the scan's state,
    complete or incomplete. Raises ConfigError where `out` lies in the inbox, DataError where there is no inbox or
    `out` cannot be written at first, is being written by another run, or is moved or removed.
    """
    with kept_in(names_of(options.pseudonyms), [out], inbox.path):
        if not inbox.path.is_dir():
            raise DataError("is no folder", path=inbox.path, remedy="create it, or check the path")
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(inbox.path)):
            raise ConfigError("the output lies inside the inbox", path=out, remedy="use an --out beside it")
        check_apart([inbox.path], out)
        return watch_origin(Folder(inbox, Limits.of(options.read)), bundle, engine, out, options, event)


def watch_origin(
    origin: Origin,
    bundle: Bundle,
    engine: Engine,
    out: Path,
    options: ScoreOptions,
    event: Event | None = None,
) -> Summary:
    """`watch_folder` for scans that come from anywhere."""
    tell = one_at_a_time(event or (lambda name, facts: None))
    await_room(out, tell, origin.stop)
    begun = False
    while True:
        watch = _Watch(origin, tell, lambda job, alerting: settle(event, job, alerting))
        try:
            if begun:
                origin.begin()
            with opened_job(bundle, engine, out, options, watch.report) as job, told_of(event, job):
                tell_replaced(job, tell)
                begun = True
                return watch.go(job)
        except GoneError:
            raise
        except (DataError, OSError, sqlite3.Error) as error:
            if not (begun and waited(out, error, tell, origin.stop)):
                raise


class Origin(Protocol):
    """Where scans come from. place: what is watched, for people; roots: where failures end when their files go;
    poll_s: seconds between two looks; stop: ends it."""

    place: str
    roots: list[Path]
    poll_s: float
    stop: threading.Event

    def poll(self) -> Poll:
        """What has arrived since the last poll."""

    def wanted(self, wants: Callable[[str], bool], ready: Sequence[Arrived]) -> list[Arrived]:
        """Of what has arrived, what is to be scored: `wants` says so of a name."""

    def reported(self, source: ScanSource) -> None:
        """Told of each of these when it is scored, has failed, or was passed over."""

    def close(self) -> None:
        """Ends what looks for arrivals."""

    def begin(self) -> None:
        """Looks anew after `close`: what was not reported comes again."""


class Folder:
    """An inbox. A file over which the process that looks is lost is left out from then on; what it gave is forgotten
    then, but by the ledger."""

    def __init__(self, inbox: Inbox, limits: Limits):
        self.stop, timing = inbox.stop, inbox.timing
        self._inbox, self._timing, self._limits = inbox.path, timing, limits
        self._faults: dict[str, ScanError] = {}
        self.place, self.roots, self.poll_s = str(self._inbox), [self._inbox], timing.poll_s
        self._worker = self._looking()

    def _looking(self) -> Worker:
        timing = self._timing
        return Worker(Arrivals, self._inbox, timing.settle_s, timing.poll_s, dict(self._faults), limits=self._limits)

    def poll(self) -> Poll:
        """See `Origin`."""
        try:
            return cast(Poll, self._worker.call("poll", path=self._inbox, stop=self.stop))
        except WorkerLostError as error:
            ours = str(error.path) == str(self._inbox)
            if not ours:
                self._faults[str(error.path)] = ScanError(error.reason, path=error.path, remedy=error.remedy)
            self._worker.close()
            self._worker = self._looking()
            return Poll([], [], False, (error.reason, error.remedy or "") if ours else None)

    def wanted(self, wants: Callable[[str], bool], ready: Sequence[Arrived]) -> list[Arrived]:
        """See `Origin`."""
        return [arrived for arrived in ready if wants(arrived.source.name)]

    def reported(self, source: ScanSource) -> None:
        """See `Origin`: the ledger knows."""

    def close(self) -> None:
        """See `Origin`."""
        self._worker.close()

    def begin(self) -> None:
        """See `Origin`."""
        self._worker = self._looking()


class _Watch:
    def __init__(self, origin: Origin, event: Event, settle: Callable[[Job, Sequence[str]], None]):
        self.origin, self.event, self.stop, self.settle = origin, event, origin.stop, settle
        self.arriving: dict[str, str] = {}
        self.arrived: dict[tuple[str, str], float] = {}
        self.latencies: deque[float] = deque(maxlen=KEPT)
        self.written = time.monotonic()
        self.news, self.told = False, set[str]()
        self.away: tuple[str, str] | None = None

    def go(self, job: Job) -> Summary:
        threading.Thread(target=self._pass_on, args=(job,), daemon=True).start()
        self._say(None, job)
        sources = self._sources(job)
        try:
            score_sources(sources, job, job.options.workers)
        finally:
            _closed(sources)
        draw_missing(job)
        return self._write(job)

    def _pass_on(self, job: Job) -> None:
        """Once it is to end, a read that hangs is not waited for either."""
        while not self.stop.wait(1.0):
            if job.stopped.is_set():  # by what broke
                return
        job.stopped.set()

    def _sources(self, job: Job) -> Generator[ScanSource, None, None]:
        """Waits for arrivals; the readers draw from here in turn."""
        try:
            while not (self.stop.is_set() or job.broken):
                job.ledger.db.check_there()
                poll = self.origin.poll()
                if poll.away != self.away and not self.stop.is_set():
                    self._say(poll.away, job)
                yield from self._given(poll, job)
                if self.news and (not self.arrived or time.monotonic() - self.written > 30):
                    self._write(job)
                if not poll.more:
                    self.stop.wait(self.origin.poll_s)
        finally:
            self.origin.close()

    def _say(self, away: tuple[str, str] | None, job: Job) -> None:
        """Tells that the inbox is watched, or why it cannot be looked into."""
        self.away, place = away, {"inbox": job.ledger.names.label(self.origin.place)}
        if away is None:
            self.event("watching", place)
        else:
            self.event("away", {**place, "reason": away[0], "remedy": away[1]})

    def _given(self, poll: Poll, job: Job) -> Iterator[ScanSource]:
        for source in poll.gone:
            self.news = bool(self.arriving.pop(_coming(source), None)) or self.news
        look_for_moved(job, [*poll.arriving, *(arrived.source for arrived in poll.ready)])
        for source in [source for source in poll.arriving if job.options.wants(source.name)]:
            label = self.arriving[_coming(source)] = job.ledger.promise(source)
            self.event("arriving", {"scan": label})
        for source, arrived in self.origin.wanted(job.options.wants, poll.ready):
            self.arriving.pop(_coming(source), None)
            self.arrived[_which(source)] = arrived
            yield source
            if self.stop.is_set():
                return

    def report(self, source: ScanSource, name: str, facts: Json) -> None:
        latency = time.time() - self.arrived.pop(_which(source), time.time())
        if name == "scored":
            self.latencies.append(latency)
        self.news = self.news or name != "skipped"
        more = {"latency_s": round(latency, 3), "state": facts.get("state") or state_of(source.notes)}
        self.event(name, facts if name == "skipped" else {**facts, **more})
        self.origin.reported(source)

    def _write(self, job: Job) -> Summary:
        """The tables of all that the ledger holds, and watch.json."""
        self.news, self.written = False, time.monotonic()
        summary = write_results(job, roots=self.origin.roots)
        p50, p95 = np.percentile(list(self.latencies), [50, 95]) if self.latencies else (None, None)
        latency = {"p50": p50, "p95": p95, "scans": len(self.latencies)}
        failed, arriving = len(job.ledger.failures()), sorted(self.arriving.values())
        facts = {"latency_s": latency, "failed": failed, "arriving": arriving}
        files.write_json(job.outputs.path("watch.json"), facts)
        tell_population(summary, self.event, self.told)
        self.settle(job, summary.alerting)
        return summary


def _closed(sources: Generator[ScanSource, None, None]) -> None:
    """Ends what the readers draw from, once none of them is at it."""
    while True:
        try:
            return sources.close()
        except ValueError:  # it is at work in another thread, which sees soon that it is to end
            time.sleep(0.05)


def _coming(source: ScanSource) -> str:
    """Which scan it is while more of its files come."""
    return source.series_uid or place_of(source)


def _which(source: ScanSource) -> tuple[str, str]:
    return source.identity, place_of(source)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT and, without nohup, SIGHUP set. A second signal ends the process as usual."""
    stop, numbers = threading.Event(), [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # its terminal is closed
    before = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, frame: Any) -> None:
        stop.set()
        for known, handler in before.items():
            signal.signal(known, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
