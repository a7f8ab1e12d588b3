"""A disk that is full for a while: what a service waits for, where a run that ends would say so and end."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import cast

from maescan.errors import FULL, DataError, short_of, typed
from maescan.files import OUTPUT, atomic_file
from maescan.scoring.database import gone
from maescan.scoring.job import Event

ROOM = 16 << 20
"""Bytes that must fit before it goes on: some scans' pictures and tables."""
LOOK_S = 10.0
REMEDY = "free {}, or see to the disk of {}: once it takes {} MB it goes on by itself, and nothing is lost meanwhile"


def is_full(error: BaseException | None) -> bool:
    """Whether an error comes of a full disk or quota, by what caused it."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return True
    return error is not None and is_full(error.__cause__)


def _is_gone(out: Path) -> bool:
    """Whether an output folder of ours is no longer there."""
    try:
        (out / OUTPUT / "kind").stat()
    except FileNotFoundError:
        return True
    except OSError:  # a share that does not answer for a moment
        return False
    return False


def refusal(out: Path) -> Exception | None:
    """Why nothing can be written into an output folder of ours now; None where something can. One that is not there
    is not made: its disk may be away."""
    probe = out / OUTPUT / "room"
    try:
        if _is_gone(out):
            return gone(out)
        with atomic_file(probe) as temporary:
            temporary.write_bytes(bytes(ROOM))
        probe.unlink(missing_ok=True)
    except (DataError, OSError) as error:
        return error
    return None


def has_room(out: Path) -> bool:
    """Whether something can be written into an output folder now."""
    return refusal(out) is None


def await_room(out: Path, tell: Event, stop: threading.Event) -> None:
    """Waits where an output folder of ours is on a full disk as a service starts, as after a reboot."""
    if (out / OUTPUT / "kind").is_file() and is_full(error := refusal(out)):
        waited(out, cast(Exception, error), tell, stop)


def waited(out: Path, error: Exception, tell: Event, stop: threading.Event) -> bool:
    """Waits until the disk that `error` came of takes what is written again, and tells of it ("full"); False for any
    other error, and once `stop` is set. Raises GoneError where the folder is no longer there when it begins."""
    if _is_gone(out):
        raise gone(out) from error
    if has_room(out) and not is_full(error):
        return False
    remedy = REMEDY.format(short_of(out), typed(out), ROOM >> 20)
    tell("full", {"reason": error.reason if isinstance(error, DataError) else str(error), "remedy": remedy})
    while not stop.wait(LOOK_S):
        if has_room(out):
            return True
    return False
