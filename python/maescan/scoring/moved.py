"""Scans that come one by one: whether a series that is known from elsewhere was moved, or is a copy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from maescan.content import may_be_there
from maescan.errors import ScanError
from maescan.scans.budget import Limits
from maescan.scans.search import search_all
from maescan.scans.source import ScanSource
from maescan.scoring.job import Job
from maescan.scoring.ledger import Ledger
from maescan.scoring.names import PLAIN
from maescan.scoring.places import around, place_of


def look_for_moved(job: Job, sources: Iterable[ScanSource]) -> None:
    """Before `sources` are known: looks into the folders where the ledger has the same series, which may hold others
    now. Under pseudonyms nobody knows where these are."""
    ledger, limits = job.ledger, Limits.of(job.options.read)
    if ledger.names is not PLAIN:
        return
    olds = {old for source in sources if source.identity for old in _elsewhere(ledger, source)}
    paths = [Path(path) for path in sorted({old.partition("\0")[0] for old in olds}) if may_be_there(path)]
    if paths:
        with contextlib.suppress(ScanError):  # gone meanwhile
            ledger.presence.expect(search_all(paths, limits), paths, at_once=False)


def _elsewhere(ledger: Ledger, source: ScanSource) -> list[str]:
    """Where a series lay that does not lie there, nor around the place, where it is known."""
    place = place_of(source)
    found = ledger.db.all("SELECT place FROM scans WHERE identity = ?", source.identity)
    olds = [os.fsdecode(old) for (old,) in found]
    return [] if any(around(old, place) for old in olds) else olds
