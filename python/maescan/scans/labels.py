"""What scans are called. A label is for people; it is never a path and never says which scan it is."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.files import printable, short_hash

if TYPE_CHECKING:
    from maescan.scans.source import ScanSource

DESCRIPTION = 64
"""Characters of a series' description that its label keeps."""


def file_label(file: Path, base: Path) -> str:
    """A file's path below the folder that was searched."""
    return printable(file.relative_to(base).as_posix())


def series_label(folder: Path, base: Path, number: object, description: object, series: str) -> str:
    """FOLDER/NUMBER-DESCRIPTION of a DICOM series: its folder below `base` (base's own name where it lies there), a
    number that is one, a description without anything but letters, digits and `_.+-`; both come from the file, which
    anybody may have written. A series without either is called by a hash of its UID."""
    place = folder.relative_to(base).as_posix() if folder != base else Path(os.path.realpath(base)).name
    words = re.sub(r"[^\w.+-]+", "_", unicodedata.normalize("NFC", str(description or ""))).strip("_.-")
    parts = [_number(number), words[:DESCRIPTION]]
    name = "-".join(part for part in parts if part) or f"series-{short_hash(series)}"
    return f"{printable(place)}/{name}" if place not in ("", ".") else name


def _number(value: object) -> str:
    text = str(value if value is not None else "").strip()
    return str(int(text)) if re.fullmatch(r"\+?[0-9]{1,12}", text) and text.isascii() else ""


def tell_apart(found: Sequence[tuple[Path, ScanSource]]) -> list[ScanSource]:
    """The sources of (root, source) with labels that differ: where some share one, each of them gets as many parent
    folders of its root in front as tell them apart; where none do (two series of one folder), a hash."""
    folders = [root if os.path.isdir(root) else root.parent for root, _ in found]  # noqa: PTH112 (Path's raises)
    bases = [Path(os.path.realpath(folder)).parts[1:] for folder in folders]
    depths = [0] * len(found)
    while True:
        labels = [
            "/".join([printable(part) for part in base[len(base) - depth :]] + [source.name])
            for base, depth, (_, source) in zip(bases, depths, found, strict=True)
        ]
        counts = Counter(labels)
        alike = [i for i, label in enumerate(labels) if counts[label] > 1]
        deeper = [i for i in alike if depths[i] < len(bases[i])]
        if not deeper:
            break
        for i in deeper:
            depths[i] += 1
    for i in alike:
        labels[i] = hashed_label(found[i][1])
    return [replace(source, name=label) for (_, source), label in zip(found, labels, strict=True)]


def hashed_label(source: ScanSource) -> str:
    """The source's label with a hash behind it that tells it from another of its folder."""
    return f"{source.name}~{short_hash(_which(source))}"


def _which(source: ScanSource) -> str:
    """What tells a source from another of its folder: its series, or its files."""
    return source.identity or "\n".join([*(file.name for file in source.files), *source.members])


def folder_of(source: ScanSource) -> Path:
    """The folder of a DICOM series, also of one image; of anything else its file."""
    return source.path.parent if source.series_uid and source.path in source.files else source.path


def longer_labels(source: ScanSource) -> list[str]:
    """The source's label with one, two ... of the folders in front that it lies in, where they are not in it yet."""
    parts, label = [printable(part) for part in folder_of(source).absolute().parts[1:]], source.name.split("/")
    inside = (count for count in range(len(parts)) if label[: len(parts) - count] == parts[count:])
    above = parts[: next(inside, len(parts) - 1)]
    return ["/".join([*above[-count:], source.name]) for count in range(1, len(above) + 1)]
