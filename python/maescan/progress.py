"""Progress on stderr: a bar where that is a terminal, else a line every 30 s. Nothing that takes long is silent."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from maescan.errors import DataError

EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


class Update(Protocol):
    """Told what is done, of how much (None: nobody knows), and what else there is to say."""

    def __call__(self, done: int, total: int | None, text: str = "") -> None:
        """May be called as often as one likes."""


@dataclass
class State:
    """What was told last; before: what had been done when it was told first, by an earlier run."""

    done: int = 0
    total: int | None = None
    text: str = ""
    before: int | None = None


def say(text: str) -> None:
    """A line on standard output, at once, with what `Output` does where it cannot be written."""
    with _written():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Output(io.TextIOWrapper):
    """Standard output. Nobody may listen any more, as after `| head` or where its terminal was closed: then all goes
    on without a word. Raises DataError where it cannot be written, as on a full disk."""

    def write(self, text: str, /) -> int:
        """All of it, or nowhere."""
        with _written():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """As `write`."""
        with _written():
            super().flush()


class Errors(io.TextIOWrapper):
    """Standard error. Where it cannot be written, as on a full disk or when nobody reads it any more, all goes on and
    ends as it would: what cannot be told changes no exit code."""

    def write(self, text: str, /) -> int:
        """All of it, or nowhere."""
        with _told():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """As `write`."""
        with _told():
            super().flush()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError:
        closed(2)


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        closed()
    except OSError as error:
        terminal = stat.S_ISCHR(os.fstat(1).st_mode)
        closed()
        if terminal and error.errno == errno.EIO:  # it was closed
            return
        remedy = "free space, or print elsewhere"
        raise DataError(f"cannot write: {error.strerror}", path="standard output", remedy=remedy) from error


def closed(stream: int = 1) -> None:
    """From now on what is printed goes nowhere: its reader has left, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    os.close(nowhere)


class _Speaker(Protocol):
    def update(self, done: int, total: int | None, text: str = "") -> None: ...

    def pause(self) -> None: ...

    def go_on(self) -> None: ...


_speakers: list[_Speaker] = []
"""Those at work, the innermost last: it alone speaks."""


def tell(done: int, total: int | None, text: str = "") -> None:
    """Tells whoever shows progress just now, if anybody does; for rooms that are not handed an `Update`."""
    if _speakers:
        _speakers[-1].update(done, total, text)


@contextlib.contextmanager
def shown(what: str, quiet: bool = False, unit: str = "", *, keep: bool = False) -> Iterator[Update]:
    """A function to be told of progress; one inside another speaks in its stead. keep: a bar stays at the end."""
    if quiet:
        yield _unheard
        return
    if _speakers:
        _speakers[-1].pause()
    speaker: _Speaker = _Bar(what, unit, keep) if sys.stderr.isatty() else _Lines(what, unit)
    _speakers.append(speaker)
    speaker.go_on()
    try:
        yield speaker.update
    finally:
        speaker.pause()
        _speakers.remove(speaker)
        if _speakers:
            _speakers[-1].go_on()


def part(what: str, unit: str = "") -> contextlib.AbstractContextManager[Update]:
    """As `shown`, for a long part of what is shown already; unheard where nothing is."""
    return shown(what, not _speakers, unit)


def _unheard(done: int, total: int | None, text: str = "") -> None:
    pass


class _Bar:
    def __init__(self, what: str, unit: str, keep: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            TextColumn("{task.fields[count]}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar, self._unit = Progress(*columns, console=Console(stderr=True), transient=not keep), unit
        self._task = self._bar.add_task(what, total=None, count="", text="")

    def update(self, done: int, total: int | None, text: str = "") -> None:
        count = f"{done}/{total} {self._unit}".strip() if total is not None else ""
        self._bar.update(self._task, completed=done, total=total, text=text, count=count)

    def pause(self) -> None:
        self._bar.stop()

    def go_on(self) -> None:
        self._bar.start()


class _Lines:
    """A thread says every `EVERY_S` how far it is, whether or not it was told anything meanwhile."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit, self._state = what, unit, State()
        self._start, self._thread = time.monotonic(), threading.Thread()

    def update(self, done: int, total: int | None, text: str = "") -> None:
        state = self._state
        state.before = max(0, done - 1) if state.before is None else state.before
        state.done, state.total, state.text = done, total, text

    def pause(self) -> None:
        self._ended.set()
        self._thread.join()

    def go_on(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._speak, args=(self._ended,), daemon=True)
        self._thread.start()

    def _speak(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY_S):
            with contextlib.suppress(OSError, ValueError):  # nobody listens any more
                text = line(self._what, self._unit, self._state, time.monotonic() - self._start)
                print(text, file=sys.stderr, flush=True)


def line(what: str, unit: str, state: State, seconds: float) -> str:
    """One line of progress: what, how much of how much, what else there is to say, the time so far and the time left.

    The time left assumes that what is left goes as what this run has done."""
    done, total = state.done - (state.before or 0), state.total
    parts = [f"{state.done}/{total} {unit}".strip()] if total is not None else []
    parts += [state.text] if state.text else []
    parts.append(f"{clock(seconds)} so far")
    if total is not None and done > 0 and state.done < total:
        parts.append(f"about {clock(seconds * (total - state.done) / done)} left")
    return f"{what}: {', '.join(parts)}"


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any.

    >>> clock(42), clock(11045)
    ('0:42', '3:04:05')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
