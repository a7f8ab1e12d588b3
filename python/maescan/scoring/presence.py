"""What a search found, and where: it tells a scan that was moved from a copy of it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from maescan.scans.find import Found
from maescan.scoring.names import Names
from maescan.scoring.places import alike, around, members_of, place_of

Scan = tuple[str, str]
"""Identity and place, as an output folder has them."""


class Presence:
    """Where scans are, as far as the disk and a search tell."""

    def __init__(self, names: Names):
        self._names = names
        self._found = defaultdict[str, set[str]](set)  # the places of each series; of what says none, of ""
        self._unsure, self._roots, self._at_once = list[str](), list[str](), set[Scan]()

    def expect(self, found: Found, roots: Sequence[Path], *, at_once: bool = True) -> None:
        """All that a search found below `roots`, nothing left out, in place of what one found there before. at_once:
        these are all the scans that there are; where a series is in two places, neither has grown into the other."""
        bases = [self._names.place(os.path.realpath(root)) for root in roots]
        for places in self._found.values():
            places -= {place for place in places if _below(place, bases)}
        self._unsure = [place for place in self._unsure if not _below(place, bases)]
        for source in found.sources:
            place = self._names.place(place_of(source))
            identity = self._names.code(source.identity)
            self._found[identity].add(place)
            if at_once:
                self._at_once.add((identity, place))
            if source.fault is not None or (source.format in ("dicom", "folder") and not source.identity):
                self._unsure.append(place)
        unread = [item.path for item in found.passed_over if item.why == "unread"]
        self._unsure += [self._names.place(os.path.realpath(path)) for path in unread]
        self._roots += [base for base in bases if base not in self._roots]

    def saw(self, series: str, place: str) -> None:
        """A scan that has come since."""
        if _below(place, self._roots):
            self._found[series].add(place)

    def there(self, scans: Sequence[Scan]) -> list[bool]:
        """Of each scan whether it still is where it was."""
        still = self._names.there([place for _, place in scans])
        return [is_there and not self._lost(*scan) for scan, is_there in zip(scans, still, strict=True)]

    def which(self, series: str, place: str, known: Sequence[Scan]) -> int | None:
        """Which of the `known` scans of one identity is what lies at `place`: the one that lay there; else one that
        was moved, of several the one whose folders are called alike; else a series that grew. None of a copy.
        series: the identity, "" where that is of the content alone."""
        olds, there = [old for _, old in known], self.there(known)
        if place in olds:
            return olds.index(place)
        moved = [i for i, here in enumerate(there) if not here and not self._another(series, olds[i], place, olds)]
        moved.sort(key=lambda i: (members_of(olds[i]) != members_of(place), -alike(olds[i], place)))
        grown = [i for i, old in enumerate(olds) if around(old, place) and (series, old) not in self._at_once]
        return next(iter([*moved, *grown]), None)

    def _lost(self, identity: str, place: str) -> bool:
        """Whether the search came to a scan's place and did not find it there, though a folder or .zip of that name
        is: others have taken its place. Where something cannot be read nobody knows."""
        if any(place in self._found.get(said, ()) for said in (identity, "")):
            return False
        return _below(place, self._roots) and not any(around(unsure, place) for unsure in self._unsure)

    def _another(self, series: str, old: str, place: str, olds: Sequence[str]) -> bool:
        """Whether a series that was at `old` is rather one that was found elsewhere than that at `place`, by the
        folders' names. olds: what lies there has a row of its own."""
        others = self._found.get(series, set()).difference(olds) if series else ()
        return any(alike(old, other) > alike(old, place) for other in others)


def _below(place: str, roots: Sequence[str]) -> bool:
    return any(place == root or place.startswith(f"{root}/") for root in roots)
