"""Tables of an output folder that somebody has written into since, as a spreadsheet does: they are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from maescan.content import sha256
from maescan.errors import DataError
from maescan.files import OUTPUT, write_json, written_into
from maescan.records import read

RECORD = f"{OUTPUT}/tables.json"
"""Hashes of the tables as they were written. There is none while they are being written: what a killed run leaves is
no edited table."""


@contextlib.contextmanager
def edited_kept(out: Path, names: Sequence[str]) -> Iterator[list[str]]:
    """While tables of these names are written: those that are not as they were written before have made way, to
    NAME-edited.csv, which the notes say. Raises DataError where the disk refuses."""
    notes = list[str]()
    with written_into(out):
        for name in edited(out, names):
            place = _free(out / name)
            (out / name).rename(place)
            notes.append(f"{name} was changed since it was written, and is kept as {place.name}")
        (out / RECORD).unlink(missing_ok=True)
    yield notes
    with written_into(out):
        hashes = {name: sha256(out / name) for name in names if (out / name).is_file()}
    write_json(out / RECORD, hashes)


def edited(out: Path, names: Sequence[str]) -> list[str]:
    """Which of the tables of these names are not as they were written. Raises OSError."""
    known = dict[str, str]()
    with contextlib.suppress(DataError):
        known = read(dict[str, str], out / RECORD, remedy="") if (out / RECORD).is_file() else {}
    there = [name for name in names if name in known and (out / name).is_file()]
    return [name for name in there if sha256(out / name) != known[name]]


def _free(file: Path) -> Path:
    """A name beside a file that nobody has."""
    number, place = 1, file.with_name(f"{file.stem}-edited{file.suffix}")
    while place.exists() or place.is_symlink():
        number += 1
        place = file.with_name(f"{file.stem}-edited-{number}{file.suffix}")
    return place
