"""What differs among the slices of one volume and should not: slices of another contrast are another scan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from maescan.errors import quoted
from maescan.scans.dicom.volumes import Labels, same_values

CONTRAST = ("EchoTime", "EffectiveEchoTime", "InversionTime", "InversionTimes", "DiffusionBValue")
KINDS = ("ImageType", "FrameType")
JITTER = (0.5, 0.05)
"""Times and b-values that differ by less than this and this part of themselves are of one contrast."""
PLAIN = re.compile(r"[\d.+-]+|ORIGINAL|DERIVED")
"""Values that name nobody."""
NAMED = 3
"""How many values a note names."""

Tags = Mapping[str, Sequence[str]]
"""Of each tag its values, one per slice."""


def by_contrast(tags: Tags, count: int) -> list[tuple[list[int], tuple[str, ...]]]:
    """The places of a volume of `count` slices by the first of CONTRAST that several slices share each value of, with
    notes; what differs otherwise is noted alone. A value that most slices have for themselves tells nothing."""
    for name in CONTRAST:
        labels = _labels(tags.get(name, ()))
        if labels is None or np.unique(labels, return_counts=True)[1].min() < 2:
            continue
        note = f"its series has slices of another {name} at other places: {_told(tags[name], labels)}"
        found = []
        for label in dict.fromkeys(labels.tolist()):
            places = np.flatnonzero(labels == label).tolist()
            inside = {tag: [values[i] for i in places] for tag, values in tags.items()}
            for part, notes in by_contrast(inside, len(places)):
                found.append(([places[i] for i in part], (note, *(text for text in notes if text != note))))
        return found
    return [(list(range(count)), _notes(tags))]


def _notes(tags: Tags) -> tuple[str, ...]:
    """What differs within one volume; of acquisitions only where few lie one behind the other, as slices are acquired
    in turns and in steps."""
    found = []
    for name in (*CONTRAST, *KINDS, "AcquisitionNumber"):
        values = [_first(value) if name in KINDS else value for value in tags.get(name, ())]
        labels = _labels(values)
        if labels is None or (name == "AcquisitionNumber" and not _blocks(labels)):
            continue
        found.append(f"its slices differ in {name}: {_told(values, labels)}")
    return tuple(found)


def _labels(values: Sequence[str]) -> Labels | None:
    """A number for each value, -1 for none; None where they are the same, or where most are for themselves."""
    said = [i for i, value in enumerate(values) if value not in ("", "None")]
    labels = np.full(len(values), -1)
    if said:
        labels[said] = same_values([values[i] for i in said], tolerant=True, jitter=JITTER)
    known = len(np.unique(labels[said])) if said else 0
    return labels if known > 1 and 2 * known <= len(said) else None


def _blocks(labels: Labels) -> bool:
    """Whether two or three values lie one behind the other."""
    return 1 + int(np.count_nonzero(np.diff(labels))) == len(np.unique(labels)) <= 3


def _told(values: Sequence[str], labels: Labels) -> str:
    firsts = [values[int(np.flatnonzero(labels == label)[0])] for label in np.unique(labels) if label >= 0]
    firsts = [value.removesuffix(".0") if PLAIN.fullmatch(value) else quoted(value) for value in firsts]
    return ", ".join(firsts[:NAMED]) + (" ..." if len(firsts) > NAMED else "")


def _first(value: str) -> str:
    """The first of several values, as pydicom writes them."""
    found = re.search(r"\w+", value)
    return found.group() if found else ""
