"""`maescan pseudonym`: which scans the pseudonyms of an output folder are, for whoever has key and scans."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from maescan.errors import ConfigError, escaped
from maescan.scans.labels import longer_labels
from maescan.scans.search import search
from maescan.scoring.names import Pseudonyms


def whose(key: Path, paths: Sequence[Path], wanted: Collection[str] | None = None) -> list[tuple[str, str, str]]:
    """(pseudonym, label, path) of the scans under `paths`; of those in `wanted` alone, also where a scan's label was
    taken when it came, and it was called by more of its folders.

    Raises ConfigError for a key that is not there."""
    if not key.exists():
        raise ConfigError("there is no such key", path=key, remedy="name the KEYFILE that was given to --pseudonyms")
    names, found = Pseudonyms.read(key), list[tuple[str, str, str]]()
    for source in search(paths):
        labels = [source.name, *longer_labels(source)] if wanted else [source.name]
        for label in labels:
            pseudonym = names.label(label)
            if not wanted or pseudonym in wanted:
                found.append((pseudonym, escaped(label), escaped(str(source.path))))
    return found
