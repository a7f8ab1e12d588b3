"""A process of its own for everything that touches a scan, under one limit of time and one of memory.

Whatever a file does to the libraries that read it (crash, hang, ask for all memory) ends that process, not the run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from maescan.errors import ConfigError, MaescanError, ScanError
from maescan.machine import safe_path
from maescan.scans.budget import Limits, gigabytes, listening, set_memory
from maescan.scans.quiet import one_line
from maescan.scans.scratch import remove_abandoned, tidy_up

PRELOAD = ["maescan.scans.lean", "maescan.scoring.readers", "maescan.method.preprocess", "maescan.scans"]
"""What the process that forks workers imports once for all of them."""
TOLD_TO_STOP = (-signal.SIGTERM, 255)
"""Exit codes of a worker that was told to stop along with its parent, who may have scans to finish: SIGTERM to it,
or to the process that forks workers. Not the scan's fault."""
STARTED = "started"
START_S, TRIES = 120.0, 3
"""How long a worker may take to start, and how often it is started before a scan is given up."""
GRACE_S = 20.0
"""What is left to a read in flight once everything is told to stop."""
_STARTING = threading.Lock()


def get_ready() -> None:
    """Starts the process that forks workers, if there is none yet, without waiting: what it imports for them takes as
    long as an engine does to load. Raises ConfigError as `tidy_up`."""
    tidy_up()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with _without_terminal():
        forkserver.ensure_running()


class WorkerLostError(ScanError):
    """The worker's process ended, or was ended, over this scan. `path` is the file that it was at."""


class Worker:
    """One process in which `make(*arguments)` builds an object whose methods `call` runs there; started when it is
    first needed, and anew when it has died. For one thread at a time."""

    def __init__(self, make: Callable[..., object], *arguments: object, limits: Limits):
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._arguments, self.limits = (make, arguments, limits), limits
        self._process: BaseProcess | None = None

    def call(self, method: str, *arguments: object, path: Path, stop: threading.Event | None = None) -> object:
        """What the object's `method` returns for `arguments`; arrays come without a copy of their bytes.

        Raises what it raises, and WorkerLostError (a ScanError naming `path`, or the file that was looked into): it
        crashed, took too long, or could not be started. stop: once set, not much longer is waited.
        Raises ConfigError where no worker can run at all."""
        for attempt in range(1, TRIES + 1):
            self._at = path
            try:
                self._start()
                self._pipe.send((method, arguments))
                return self._answer(stop)
            except (EOFError, BrokenPipeError, ConnectionResetError) as error:
                code = self._end()
                if code not in TOLD_TO_STOP or attempt == TRIES:
                    remedy = "the file is likely damaged, export it anew; or too large, see --limit-memory"
                    raise WorkerLostError(
                        f"the reader crashed ({_told(code)})", path=self._at, remedy=remedy
                    ) from error
        raise AssertionError("unreachable")

    def _answer(self, stop: threading.Event | None) -> object:
        """The clock starts anew with each file that the worker says it looks into."""
        deadline, stopped = time.monotonic() + self.limits.seconds, False
        while True:
            if not stopped and stop is not None and stop.is_set():
                stopped, deadline = True, min(deadline, time.monotonic() + GRACE_S)
            left = deadline - time.monotonic()
            if not self._pipe.poll(max(0.0, left if stop is None else min(left, 0.5))):
                if time.monotonic() < deadline:
                    continue
                self._end()
                reason = f"reading took over {self.limits.seconds:g} s"
                remedy = "check the file and the disk or network that it lies on, or raise --limit-seconds"
                raise WorkerLostError("reading was stopped" if stopped else reason, path=self._at, remedy=remedy)
            kind, content = self._pipe.recv()
            if kind == "at":
                self._at, deadline = Path(content), time.monotonic() + (GRACE_S if stopped else self.limits.seconds)
            elif kind == "error":
                content.path = content.path or self._at
                raise content
            else:
                return self._value(content)

    def _value(self, sizes: list[int]) -> object:
        payload, buffers = self._pipe.recv_bytes(), list[np.ndarray]()
        for size in sizes:
            buffers.append(np.empty(size, np.uint8))
            if size:
                self._pipe.recv_bytes_into(buffers[-1].data)
        value: object = pickle.loads(payload, buffers=buffers)
        return value

    def _start(self) -> None:
        """Raises WorkerLostError for a process killed each time as it starts, ConfigError where none can run."""
        if multiprocessing.current_process().daemon:
            remedy = "use concurrent.futures.ProcessPoolExecutor, whose processes may, or score_scan"
            raise ConfigError("a process of multiprocessing.Pool may start no readers", remedy=remedy)
        tidy_up()
        for _ in range(TRIES):
            if self._process is not None:
                return
            code = self._try_to_start()
            if code is not None and code > 0 and code not in TOLD_TO_STOP:
                reason = f"a reader process ended as it started (exit {code})"
                remedy = "what it said stands above; `maescan doctor` says what is installed"
                raise ConfigError(reason, remedy=remedy)
        if self._process is None:
            remedy = "free memory, use fewer --workers, or see this shell's limits with `ulimit -a`"
            raise WorkerLostError(f"the reader could not start ({_told(code)})", path=self._at, remedy=remedy)

    def _try_to_start(self) -> int | None:
        """The exit code where it ended at once; None where it runs, or could not even be forked."""
        try:
            self._pipe, child = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(child, *self._arguments), daemon=True)
            with _without_terminal(), _without_script():
                process.start()
            self._process = process
            child.close()
            if self._pipe.poll(START_S) and self._pipe.recv() == STARTED:
                return None
        except (EOFError, OSError):
            if self._process is None:
                return None
        return self._end()

    def _end(self) -> int | None:
        """Kills the process, clears away what it left, and says how it ended: its exit code, None if it is stuck."""
        process, self._process = self._process, None
        if process is None:
            return None
        self._pipe.close()
        process.join(timeout=1 if process.exitcode is None else None)
        if process.exitcode is None:
            process.kill()
            process.join(timeout=5)  # a process in a dead network folder's hands cannot even be killed
        remove_abandoned()
        return process.exitcode if process.exitcode is None else int(process.exitcode)

    def close(self) -> None:
        """Ends the process."""
        self._end()


@contextlib.contextmanager
def _without_terminal() -> Iterator[None]:
    """What is started here, and by that, is not told of Ctrl-C, nor that its terminal is closed, from its first
    moment: this process decides."""
    with safe_path():
        resource_tracker.ensure_running()  # it would take the mask away
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """What is started here does not import the caller's script, of which it needs nothing: a script needs no
    `if __name__ == "__main__":`, and may come from a pipe."""
    with _STARTING:
        main = vars(sys.modules["__main__"])
        before: dict[str, object] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
        main.update(dict.fromkeys(before))
        try:
            yield
        finally:
            main.update(before)


def _told(code: int | None) -> str:
    if code is None:
        return "no process"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"signal {-code}"


def _serve(
    connection: Connection, make: Callable[..., object], arguments: tuple[object, ...], limits: Limits
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; it closes the pipe
    threading.Thread(target=_end_with_parent, daemon=True).start()
    target = make(*arguments)
    set_memory(limits.bytes)
    with contextlib.suppress(BrokenPipeError, EOFError, ConnectionResetError):  # the parent is gone
        connection.send(STARTED)
        while True:
            method, given = connection.recv()
            try:
                with listening(lambda path: connection.send(("at", os.fspath(path)))):
                    answer = getattr(target, method)(*given)
            except MaescanError as error:
                connection.send(("error", error))
            except MemoryError:
                reason = f"does not fit in the {gigabytes(limits.bytes)} of memory that a scan may take"
                connection.send(("error", ScanError(reason, remedy="allow it more with --limit-memory")))
            except Exception as error:
                reason = f"reading failed: {type(error).__name__}: {one_line(error)}"
                remedy = "check the file with `maescan inspect`"
                connection.send(("error", ScanError(reason, remedy=remedy)))
            else:
                _send(connection, answer)
            answer = None


def _send(connection: Connection, answer: object) -> None:
    buffers: list[pickle.PickleBuffer] = []
    payload = pickle.dumps(answer, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    connection.send(("value", [view.nbytes for view in views]))
    connection.send_bytes(payload)
    for view in views:
        if view.nbytes:
            connection.send_bytes(view)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
