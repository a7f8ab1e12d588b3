"""Images put into a spool as an association would, and the pipeline that scores them, without a network."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydicom import dcmread

from helpers.scoring_stub import BUNDLE, Engine
from maescan.network.arrivals import SpoolOrigin
from maescan.network.options import ListenOptions
from maescan.network.spool import SUCCESS, Spool
from maescan.scans.budget import Limits
from maescan.scoring.options import ReadOptions, ScoreOptions
from maescan.scoring.watch import watch_origin


def put(spool: Spool, files: Iterable[Path], *, association: str = "a", aborted: bool = False) -> None:
    """Keeps files as one association that then ends."""
    for path in files:
        incoming = spool.incoming()
        incoming.write(path.read_bytes())
        assert spool.keep(incoming.path, str(dcmread(path).SOPInstanceUID), association) == SUCCESS
    spool.journal.ended(association, time.time(), aborted=aborted)


class Scored:
    """What a pipeline on a spool has told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()

    def hear(self, name: str, facts: dict[str, Any]) -> None:
        with self._news:
            self.events.append((name, facts))
            self._news.notify_all()

    def until(self, name: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of a name."""

        def found() -> list[dict[str, Any]]:
            return [facts for event, facts in self.events if event == name]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, 60), self.events
        return found()[count - 1]


@contextlib.contextmanager
def scoring(out: Path, **options: Any) -> Iterator[Scored]:
    """Scores what is in the spool of `out` while it lasts."""
    found, stop = Scored(), threading.Event()
    origin = SpoolOrigin(out, ListenOptions(**options), Limits.of(ReadOptions()), stop, found.hear)
    given = (origin, BUNDLE, Engine(), out, ScoreOptions(workers=1, pictures=0), found.hear)
    thread = threading.Thread(target=watch_origin, args=given)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(60)
