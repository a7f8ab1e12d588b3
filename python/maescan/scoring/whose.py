"""`maescan pseudonym`: which scans the pseudonyms of an output folder are, for whoever has key and scans."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from maescan.errors import ConfigError, DataError, ScanError, escaped
from maescan.files import OUTPUT, kind_of, short_hash
from maescan.scans.labels import hashed_label, longer_labels
from maescan.scans.search import search
from maescan.scans.source import ScanSource
from maescan.scans.streams import content_hash
from maescan.scoring.database import reading
from maescan.scoring.names import Pseudonyms
from maescan.scoring.places import members_of, place_of

TODAY = (
    "warning: told by the names that scans have now: where files came, went or were moved since, a pseudonym may have"
    " been given to another scan; to be sure add --out with the folder that its run wrote into"
)


class Answer(NamedTuple):
    """found: (pseudonym, label, path) of scans; doubts: a line on each pseudonym that is not told, and on what the
    others are worth."""

    found: list[tuple[str, str, str]]
    doubts: list[str]


class Row(NamedTuple):
    """A scan as the ledger has it, all hashed. identity: of its series or content, "" where it could not be read."""

    label: str
    identity: str
    place: str


def whose(key: Path, paths: Sequence[Path], wanted: Collection[str] = (), out: Path | None = None) -> Answer:
    """Whose the pseudonyms `wanted`, or all, are of the scans under `paths`: by what the ledger of `out` has of each,
    whatever it is called and wherever it lies now; without `out` by names.

    Raises ConfigError for a key that is not there, DataError for an `out` without scans under its pseudonyms,
    ScanError for one of `paths` that does not exist."""
    if not key.exists():
        raise ConfigError("there is no such key", path=key, remedy="name the KEYFILE that was given to --pseudonyms")
    names = Pseudonyms.read(key)
    if out is None:
        return _by_name(names, search(paths), wanted)
    rows = _rows(out, names)
    return _by_ledger(_Scans(names, search(paths)), rows, wanted)


def _by_name(names: Pseudonyms, sources: Sequence[ScanSource], wanted: Collection[str]) -> Answer:
    answer, called = Answer([], [TODAY]), defaultdict[str, list[tuple[str, ScanSource]]](list)
    for source in sources:
        for label in _labels(source) if wanted else [source.name]:
            called[names.label(label)].append((label, source))
    for pseudonym in sorted(set(wanted)) or called:
        held = called.get(pseudonym, [])
        if len(held) == 1:
            answer.found.append((pseudonym, *_told(*held[0])))
        elif held:
            answer.doubts.append(_either(pseudonym, [source for _, source in held]))
        else:
            answer.doubts.append(f"{pseudonym}: none of these scans, by this key and the names they have now")
    return answer


def _labels(source: ScanSource) -> list[str]:
    """What a scan may have been called when it came: with a hash or without one, as others of its folder were there
    or not; with folders in front."""
    end = hashed_label(source).removeprefix(source.name)
    plain = replace(source, name=source.name.removesuffix(end))
    placed = f"{plain.name}~{short_hash(source.identity + place_of(source))}"
    return list(dict.fromkeys([source.name, plain.name, hashed_label(plain), *longer_labels(plain), placed]))


def _told(label: str, source: ScanSource) -> tuple[str, str]:
    return escaped(label), escaped(os.fspath(source.path))


def _either(pseudonym: str, sources: Sequence[ScanSource]) -> str:
    places = ", ".join(escaped(os.fspath(source.path)) + f" ({escaped(source.name)})" for source in sources)
    return f"{pseudonym}: ambiguous, may be any of {len(sources)}: {places}"


def _rows(out: Path, names: Pseudonyms) -> list[Row]:
    with reading(out / OUTPUT) as db:
        found = db.execute("SELECT label, identity, place FROM scans ORDER BY label").fetchall()
    if not kind_of(out).endswith(names.kind):
        remedy = "name the KEYFILE that its run was given, or the --out of a run with this one"
        raise DataError("holds no scans under pseudonyms of this key", path=out, remedy=remedy)
    return [Row(label, identity, os.fsdecode(place)) for label, identity, place in found]


class _Scans:
    """The scans that were found, by what the ledger knows them by. Files are read only where that is asked."""

    def __init__(self, names: Pseudonyms, sources: Sequence[ScanSource]):
        self.names, self._identities = names, dict[int, str]()
        self.placed = [(source, names.place(place_of(source))) for source in sources]

    def identity(self, source: ScanSource) -> str:
        """Of a series, else of the content; "" where it cannot be read."""
        if id(source) not in self._identities:
            known = source.identity
            with contextlib.suppress(ScanError):
                known = known or ("" if source.fault else content_hash(source.files))
            self._identities[id(source)] = self.names.code(known)
        return self._identities[id(source)]

    def at(self, row: Row) -> list[ScanSource]:
        """A row's scan where it was seen last."""
        here = [source for source, place in self.placed if place == row.place]
        return [source for source in here if row.identity in ("", self.identity(source))]

    def elsewhere(self, row: Row, rows: Collection[tuple[str, str]]) -> list[ScanSource]:
        """Those that a row's scan may be now; not those that have rows (identity, place) of their own."""
        return [
            source
            for source, place in self.placed
            if row.identity == self.identity(source) != "" and (row.identity, place) not in rows
            if source.identity or not (source.members and row.place) or members_of(place) == members_of(row.place)
        ]

    def told(self, row: Row, source: ScanSource) -> tuple[str, str, str]:
        """With the name that it came by, where it is one that it may have now."""
        label = next((label for label in _labels(source) if self.names.label(label) == row.label), source.name)
        return row.label, *_told(label, source)


def _by_ledger(scans: _Scans, rows: Sequence[Row], wanted: Collection[str]) -> Answer:
    answer, held = Answer([], []), {(row.identity, row.place) for row in rows}
    known, gone = {row.label: row for row in rows}, list[str]()
    for label in sorted(set(wanted)) or known:
        row = known.get(label)
        if row is None:
            answer.doubts.append(f"{label}: no scan of this --out is called so")
            continue
        may_be = scans.at(row) or scans.elsewhere(row, held)
        if len(may_be) == 1:
            answer.found.append(scans.told(row, may_be[0]))
            if not row.identity:
                answer.doubts.append(f"{label}: could not be read when it came, and is told by its place alone")
        elif may_be:
            answer.doubts.append(_either(label, may_be))
        else:
            gone.append(label)
    lost = [f"{label}: gone: not under these paths, or changed since it was scored" for label in gone]
    more = f"{len(gone)} more are gone: not under these paths, or changed since they were scored"
    answer.doubts.extend(lost if wanted or not lost else [more])
    return answer
