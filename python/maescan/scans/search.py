"""`find_scans` in a worker: a file that hangs or crashes whoever looks into it costs itself, not the search."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from maescan.errors import ScanError
from maescan.scans.budget import Limits
from maescan.scans.find import Faults, Found, survey
from maescan.scans.source import ScanSource
from maescan.scans.worker import Worker, WorkerLostError


class Finder:
    """What a worker does for `search`."""

    def find(self, paths: list[Path], faults: Faults) -> Found:
        """Of `find.survey`."""
        return survey(paths, faults=faults)


def search(paths: Iterable[str | Path], limits: Limits | None = None) -> list[ScanSource]:
    """The scans of `search_all`."""
    return search_all(paths, limits).sources


def search_all(paths: Iterable[str | Path], limits: Limits | None = None) -> Found:
    """`find.survey` within limits for each file. One that is over them, or that crashes the worker, is a source with
    a `fault`; the rest is found without it. Raises ScanError where a path does not exist."""
    roots, faults = [Path(path) for path in paths], dict[str, ScanError]()
    worker = Worker(Finder, limits=limits or Limits())
    try:
        while True:
            try:
                return cast(Found, worker.call("find", roots, faults, path=roots[0]))
            except WorkerLostError as error:
                if str(error.path) in faults:
                    raise
                faults[str(error.path)] = ScanError(error.reason, path=error.path, remedy=error.remedy)
    finally:
        worker.close()
