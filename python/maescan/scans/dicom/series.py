"""Which images are of one series: by its UID, and by all else that may tell two apart where the UID does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from maescan.scans.dicom.volumes import split

Name = tuple[str, ...]
"""What an image says of where it belongs, '' where it does not say."""
PATIENT = 4
"""So many of them, the first ones, are the patient's."""


def series_of(uids: Sequence[Name], names: Sequence[Name]) -> Iterator[tuple[list[int], Name, tuple[str, ...]]]:
    """The places of each series, the name that its images share, and notes. uids: which are compared as they are, the
    series' own ('' for none) is the last; names: in which nothing said contradicts nothing (a tag that was left out
    or corrected midway)."""
    found = [
        ([places[i] for i in inside], name)
        for places in split(uids)
        for inside, name in alike([names[i] for i in places])
    ]
    sharing = defaultdict[str, list[Name]](list)
    for places, name in found:
        sharing[uids[places[0]][-1]].append(name)
    notes = {uid: _shared(among) for uid, among in sharing.items() if uid}
    for places, name in found:
        yield places, name, notes.get(uids[places[0]][-1], ())


def alike(names: Sequence[Name]) -> list[tuple[list[int], Name]]:
    """The places of names that do not contradict each other, with all that these say together; what fits several
    that contradict each other stays by itself."""
    groups: dict[tuple[bool, ...], list[tuple[Name, list[int]]]] = defaultdict(list)
    for same in sorted(split(names), key=lambda places: -sum(map(bool, names[places[0]]))):
        name, places = names[same[0]], same
        said = tuple(map(bool, name))
        others = [(mask, group) for mask, inside in groups.items() if mask != said for group in inside]
        fitting = [(mask, group) for mask, group in others if _fits(name, group[0])]
        if len(fitting) == 1:
            (mask, group), *_ = fitting
            groups[mask].remove(group)
            name = tuple(one or other for one, other in zip(group[0], name, strict=True))
            said, places = tuple(map(bool, name)), sorted([*group[1], *places])
        groups[said].append((name, places))
    return sorted((places, name) for inside in groups.values() for name, places in inside)


def _fits(one: Name, other: Name) -> bool:
    return all(a == b or not a or not b for a, b in zip(one, other, strict=True))


def _shared(among: Sequence[Name]) -> tuple[str, ...]:
    """What is to be noted of series that share a UID."""
    if len(among) < 2:
        return ()
    patients = len(alike([name[:PATIENT] for name in among]))
    if patients > 1:
        return (f"its series names {patients} patients: this is one of them",)
    return (f"its SeriesInstanceUID is shared by {len(among)} series: this is one of them",)
