"""Alerts reach people: a command for each, and a log of all that happens."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

from maescan.content import opened
from maescan.errors import DataError, MaescanError
from maescan.files import check_outside
from maescan.machine import users_environment
from maescan.records import Record, decode
from maescan.scoring.job import Event, Job, one_at_a_time
from maescan.scoring.options import AlertOptions
from maescan.scoring.told import Told

LIMIT_S = 60.0
"""How long a command may take over one alert."""
LOG_BYTES, LOGS = 10_000_000, 5
"""A log of this size is put aside; so many are kept."""


@contextlib.contextmanager
def passed_on(event: Event, options: AlertOptions) -> Iterator[PassedOn]:
    """An event with its time, that also goes to the log and, where it is an alert or says that scans have changed, to
    the command.

    Commands run one after another beside the scoring, and are waited for at the end; one that fails or takes too long
    is told ("alert_failed") and changes nothing else. An error that ends the scoring stands in the log ("refused").
    Raises DataError for a log that cannot be written, ConfigError for one in a bundle."""
    log = _Log(options.log) if options.log else None
    passing = PassedOn(one_at_a_time(event), log, options.on_alert)
    try:
        yield passing
    except MaescanError as error:
        if log:
            log.add("refused", _timed({"reason": str(error)}))
        raise
    finally:
        if passing.caller:
            passing.caller.close()
        if log:
            log.close()


class PassedOn:
    """See `passed_on`. While it knows `told`, a scan's alert is passed on once: not again where the scan is scored
    again, and in the next run where this one was killed before its command had succeeded."""

    def __init__(self, event: Event, log: _Log | None, command: str | None):
        self._event, self._log = event, log
        self.caller = _Caller(command, self._came) if command else None
        self.told: Told | None = None
        self._queued: set[str] = set()

    def __call__(self, name: str, facts: dict[str, object]) -> None:
        """An event."""
        facts = _timed(facts)
        self._event(name, facts)
        if self._log:
            self._log.add(name, facts)
        if name in ("unusual", "changed") or (name == "scored" and facts.get("alert") == "yes"):
            self._put(name, facts)

    def late(self, facts: dict[str, object]) -> None:
        """Passes on the alert of a scan that an earlier run has scored."""
        if str(facts["scan"]) not in self._queued:
            if self._log:
                self._log.add("late_alert", _timed(facts))
            self._put("scored", {**_timed(facts), "late": True})

    def _put(self, name: str, facts: dict[str, object]) -> None:
        scan = str(facts.get("scan", "")) if name == "scored" else ""
        if self.caller and not (scan and self.told and not self.told.owed([scan])):
            self._queued.add(scan)
            self.caller.put(name, facts)

    def _came(self, name: str, scan: str, reason: str) -> None:
        """Of a call: why it failed, or ""."""
        if reason:
            print(f"{scan}: " * bool(scan) + f"--on-alert failed: {reason}", file=sys.stderr)
            self("alert_failed", {"scan": scan, "reason": reason})
        elif self.told and name == "scored":
            with contextlib.suppress(MaescanError):  # a full disk: it is told again, rather than not
                self.told.add([scan])


@contextlib.contextmanager
def told_of(event: object, job: Job) -> Iterator[None]:
    """While a job goes on, its folder knows of which alerts the command was told; at the end all commands are
    over."""
    if not isinstance(event, PassedOn) or event.caller is None:
        yield
        return
    event.told = Told(job.ledger)
    try:
        yield
    finally:
        event.caller.wait()
        event.told = None


def settle(event: object, job: Job, alerting: Collection[str]) -> None:
    """Passes on the alerts of a folder that no command was told of: a run was killed, or they came with another
    calibration or rate. Where there is no command, nobody wants to be told of those that there are."""
    told = Told(job.ledger)
    owed = told.owed(alerting)
    if not isinstance(event, PassedOn) or event.caller is None:
        if owed:
            told.add(owed)
        return
    for row in job.ledger.rows() if owed else ():
        if row.label in owed:
            event.late(job.facts(row))


def _timed(facts: dict[str, object]) -> dict[str, object]:
    """Facts with the time that it is."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts}


class _Caller:
    """Runs a command for each alert, in a thread of its own. came: told of each call its event's name, the scan, and
    why it failed, or ""."""

    def __init__(self, command: str, came: Callable[[str, str, str], None]):
        self._command, self._came = command, came
        self._waiting: queue.Queue[tuple[str, dict[str, object]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, name: str, facts: dict[str, object]) -> None:
        self._waiting.put((name, facts))

    def wait(self) -> None:
        """Until all are told."""
        self._waiting.join()

    def close(self) -> None:
        """Waits until all are told."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            name, facts = item
            try:
                reason = run_command(self._command, json.dumps({"event": name, **facts}, sort_keys=True))
            except Exception as error:  # no command costs the alerts after it
                reason = str(error)
            try:
                self._came(name, str(facts.get("scan", "")), reason)
            finally:
                self._waiting.task_done()


def run_command(command: str, text: str, limit_s: float = LIMIT_S) -> str:
    """Runs a shell's command with a line on its standard input; returns why it failed, or "". What it started ends
    with it when the time is up."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with (
        open(os.memfd_create("said"), "w+b") as errors,  # no pipe: what it leaves behind may go on for hours
        subprocess.Popen(
            command,
            shell=True,
            start_new_session=True,
            stdin=pipe,
            stdout=nowhere,
            stderr=errors,
            env=users_environment(),
        ) as process,
    ):
        try:
            process.communicate(f"{text}\n".encode(), timeout=limit_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return f"took over {limit_s:g} s"
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
        last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"exit {process.returncode}" + "".join(f": {line}" for line in last) if process.returncode else ""


class _Private(RotatingFileHandler):
    """A new log names scans: it is open to its user alone, the next one to whom the one put aside is open to."""

    _mode = 0o600

    def _open(self) -> io.TextIOWrapper:
        aside = Path(f"{self.baseFilename}.1")
        mode = aside.stat().st_mode & 0o666 if aside.exists() else self._mode
        opener = partial(os.open, mode=mode)
        return open(self.baseFilename, "a", encoding=self.encoding, opener=opener)

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 (logging's)
        """Before each line: a file that another program, such as logrotate, put aside is not written into."""
        place = Path(self.baseFilename)
        if self.stream and not (place.exists() and os.path.samestat(place.stat(), os.fstat(self.stream.fileno()))):
            _check_log(place)
            stream, self.stream = self.stream, None  # opened now, or with the next line where it cannot be
            self._mode = os.fstat(stream.fileno()).st_mode & 0o666
            stream.close()
        return bool(super().shouldRollover(record))


class _Log:
    """Events as lines of JSON in a file that is put aside when it is large."""

    def __init__(self, path: Path):
        if path.is_dir() or path.is_fifo():  # a pipe would wait for who reads it
            raise DataError(f"is a {'folder' if path.is_dir() else 'pipe'}", path=path, remedy="name a file as --log")
        check_outside(path, "use another --log")
        for file in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, LOGS + 1))):
            _check_log(file)
        try:
            self._handler = _Private(path, maxBytes=LOG_BYTES, backupCount=LOGS, encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write: {error.strerror}", path=path, remedy="use another --log") from error
        self._handler.handleError = self._broken  # type: ignore[method-assign, assignment]
        self._path, self._told = path, False

    def add(self, name: str, facts: dict[str, object]) -> None:
        line = json.dumps({"event": name, **facts}, sort_keys=True)
        self._handler.handle(logging.LogRecord("maescan", logging.INFO, "", 0, line, None, None))

    def _broken(self, _: logging.LogRecord) -> None:
        if not self._told:
            print(f"{self._path}: events cannot be logged: {sys.exc_info()[1]}", file=sys.stderr)
        self._told = True

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: it is told by then
            self._handler.close()


class Logged(Record, frozen=True):
    """What every line of a log has."""

    time: str
    event: str


def _check_log(path: Path) -> None:
    """Raises DataError for a file that is there and no log of events: it may be a scan."""
    try:
        if not path.is_file() or not path.stat().st_size:
            return
        with opened(path) as stream:
            decode(Logged, stream.readline(LOG_BYTES), path=path, remedy="")
    except DataError:
        raise DataError("exists already, and is no log of maescan's", path=path, remedy="use another --log") from None
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=path, remedy="use another --log") from error
