"""Where a scan lies, as an output folder remembers it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from maescan.scans.labels import longer_labels
from maescan.scans.source import ScanSource

HASH = re.compile(r"~[0-9a-f]{8}(-[0-9]+)?$")
"""What a label has behind a name that it cannot hold, or that another scan has."""


def place_of(source: ScanSource) -> str:
    """Where a scan lies: its file with all links on the way to it resolved, or its series' folder; behind it, after
    zeros, the members of a .zip, and the first of files in a folder that do not say which series they are."""
    path = source.path.absolute()
    more = source.members or (() if source.identity or source.path in source.files else (source.files[0].name,))
    return "\0".join([str(Path(os.path.realpath(path.parent)) / path.name), *more])


def members_of(place: str) -> str:
    """Which scan of a .zip lies at a place: the content of each of them is that of the .zip."""
    return place.partition("\0")[2]


def renamed(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of (label, place) of scans, those that are a file of another name than their label says: (label, name). Who
    looks a file up by its name would find another scan's score."""
    names = [(label, place.rpartition("/")[2]) for label, place in rows if "\0" not in place]
    return [(label, name) for label, name in names if not label.rpartition("/")[2].startswith(_kept(name))]


def called_now(label: str, source: ScanSource) -> str:
    """What a source is called by as many of its folders as its label has, where that is not its label; else "". Who
    looks up a folder of that name would find another scan's score."""
    parts = longer_labels(source)[-1:] or [source.name]
    now = parts[0].split("/")[-label.count("/") - 1 :]
    same = [HASH.sub("", part) for part in now] == [HASH.sub("", part) for part in label.split("/")]
    return "" if same else "/".join(now)


def alike(old: str, new: str) -> int:
    """How many names two places share, from the last one on: of a folder that was moved, those below it."""
    pairs = zip(*(reversed(place.partition("\0")[0].split("/")) for place in (old, new)), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def goes_on(came: Iterable[tuple[int, bytes]], places: Sequence[bytes]) -> bool:
    """Whether a search finds the scans that came in the run before, given as (index in its search, place), where they
    stood in that one: it is the same run after a kill, or of scans that come after those."""
    there = set(places)
    still = [(index, place) for index, place in came if place in there]
    return bool(still) and all(index < len(places) and places[index] == place for index, place in still)


def _kept(name: str) -> str:
    """How a label of this file ends, but for a hash."""
    return "".join(c if c.isprintable() else "_" for c in name)


def around(some: str, other: str) -> bool:
    """Whether one of two places lies in the other."""
    return some == other or other.startswith(f"{some}/") or some.startswith(f"{other}/")
