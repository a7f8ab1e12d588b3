"""Alerts reach people: a command for each, and a log of all that happens."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from maescan.content import opened
from maescan.errors import DataError, MaescanError
from maescan.records import Record, decode
from maescan.scoring.job import Event, one_at_a_time
from maescan.scoring.options import AlertOptions

LIMIT_S = 60.0
"""How long a command may take over one alert."""
LOG_BYTES, LOGS = 10_000_000, 5
"""A log of this size is put aside; so many are kept."""


@contextlib.contextmanager
def passed_on(event: Event, options: AlertOptions) -> Iterator[Event]:
    """An event with its time, that also goes to the log and, where it is an alert or says that scans have changed, to
    the command.

    Commands run one after another beside the scoring, and are waited for at the end; one that fails or takes too long
    is told ("alert_failed") and changes nothing else. An error that ends the scoring stands in the log ("refused").
    Raises DataError for a log that cannot be written."""
    event, log = one_at_a_time(event), _Log(options.log) if options.log else None

    def tell(name: str, facts: dict[str, object]) -> None:
        facts = _timed(facts)
        event(name, facts)
        if log:
            log.add(name, facts)
        if caller and (name in ("unusual", "changed") or (name == "scored" and facts.get("alert") == "yes")):
            caller.put(name, facts)

    def failed(scan: str, reason: str) -> None:
        print(f"{scan}: " * bool(scan) + f"--on-alert failed: {reason}", file=sys.stderr)
        tell("alert_failed", {"scan": scan, "reason": reason})

    caller = _Caller(options.on_alert, failed) if options.on_alert else None
    try:
        yield tell
    except MaescanError as error:
        if log:
            log.add("refused", _timed({"reason": str(error)}))
        raise
    finally:
        if caller:
            caller.close()
        if log:
            log.close()


def _timed(facts: dict[str, object]) -> dict[str, object]:
    """Facts with the time that it is."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts}


class _Caller:
    """Runs a command for each alert, in a thread of its own."""

    def __init__(self, command: str, failed: Callable[[str, str], None]):
        self._command, self._failed = command, failed
        self._waiting: queue.SimpleQueue[tuple[str, dict[str, object]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, name: str, facts: dict[str, object]) -> None:
        self._waiting.put((name, facts))

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
            if reason:
                self._failed(str(facts.get("scan", "")), reason)


def run_command(command: str, text: str, limit_s: float = LIMIT_S) -> str:
    """Runs a shell's command with a line on its standard input; returns why it failed, or "". What it started ends
    with it when the time is up."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, shell=True, start_new_session=True, stdin=pipe, stdout=nowhere, stderr=pipe
    ) as process:
        try:
            _, said = process.communicate(f"{text}\n".encode(), timeout=limit_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return f"took over {limit_s:g} s"
    last = said.decode(errors="replace").strip().splitlines()[-1:]
    return f"exit {process.returncode}" + "".join(f": {line}" for line in last) if process.returncode else ""


class _Log:
    """Events as lines of JSON in a file that is put aside when it is large."""

    def __init__(self, path: Path):
        if path.is_dir() or path.is_fifo():  # a pipe would wait for who reads it
            raise DataError(f"is a {'folder' if path.is_dir() else 'pipe'}", path=path, remedy="name a file as --log")
        for file in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, LOGS + 1))):
            _check_log(file)
        try:
            self._handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOGS, encoding="utf-8")
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
