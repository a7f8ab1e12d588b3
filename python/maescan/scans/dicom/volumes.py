"""What belongs together: slices of one stack, and volumes of a series told apart only where positions clash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SAME_PLANE = 1e-3
"""Largest difference of direction cosines within one stack."""
TOUCHING = 0.01
"""Positions nearer than this many mm are the same."""
JITTER = (0.05, 0.005)
"""Times and b-values that differ by less than this and this part of themselves are the same."""

Labels = NDArray[np.int64]


def split(keys: Iterable[Hashable]) -> list[list[int]]:
    """Places of equal keys, in the order in which they first come."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    return list(groups.values())


def by_plane(planes: Sequence[Sequence[float] | NDArray[np.float64]]) -> list[list[int]]:
    """Places of the same orientation (ImageOrientationPatient); compared, as rounding would tear apart what is nearly
    the same."""
    groups: list[list[int]] = []
    known: dict[int, NDArray[np.float64]] = {}
    count: dict[int, int] = defaultdict(int)
    of: dict[int, list[int]] = defaultdict(list)
    for place, plane in enumerate(planes):
        size = len(plane)
        seen = known.setdefault(size, np.empty((8, size)))
        rows = seen[: count[size]]
        same = np.flatnonzero((np.abs(rows - np.asarray(plane)) <= SAME_PLANE).all(1))
        if len(same):
            groups[of[size][same[0]]].append(place)
            continue
        if count[size] == len(seen):
            known[size] = seen = np.concatenate([seen, np.empty_like(seen)])
        seen[count[size]] = plane
        count[size] += 1
        of[size].append(len(groups))
        groups.append([place])
    return groups


def same_places(depths: Sequence[float]) -> Labels:
    """A number for each position along the normal [n]; equal where they touch."""
    order = np.argsort(depths, kind="stable")
    steps = np.diff(np.asarray(depths, np.float64)[order]) > TOUCHING
    labels = np.empty(len(order), np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(steps)])
    return labels


def same_values(values: Sequence[object], *, tolerant: bool = False, jitter: tuple[float, float] = JITTER) -> Labels:
    """A number for each value [n]; equal for equal text, or with `tolerant` for numbers that are nearly the same."""
    if tolerant:
        try:
            numbers = np.array([float(str(value)) for value in values])
        except ValueError:
            return same_values(values)
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        apart = ~(np.diff(ordered) <= jitter[0] + jitter[1] * np.abs(ordered[1:]))
        labels = np.empty(len(order), np.int64)
        labels[order] = np.concatenate([[0], np.cumsum(apart)])
        return labels
    known: dict[str, int] = {}
    return np.array([known.setdefault(str(value), len(known)) for value in values], np.int64)


def volumes(places: Labels, tags: Sequence[Labels]) -> list[list[int]]:
    """The volumes of one stack [n]: all of it where every image has a place of its own, whatever else differs; else
    as the first of `tags` has it that leaves no two images of a volume at one place. What no tag tells apart stays
    together, and is refused as duplicates when it is read."""
    return [[int(i) for i in group] for group in _volumes(np.arange(len(places)), places, tags)]


def _volumes(group: Labels, places: Labels, tags: Sequence[Labels]) -> list[Labels]:
    here = _count(places[group])
    if here == len(group):
        return [group]
    splits = [parts for tag in tags if len(parts := _parts(group, tag)) > 1]
    for parts in splits:  # one tag tells whole volumes apart
        if all(_count(places[part]) == len(part) and 2 * len(part) > here for part in parts):
            return parts
    for parts in splits:  # one tag tells some apart, and others the rest
        if all(2 * _count(places[part]) > here for part in parts):
            return [volume for part in parts for volume in _volumes(part, places, tags)]
    for parts in splits:  # a whole volume and what is left over, such as a run that was broken off
        whole = next((part for part in parts if len(part) == here == _count(places[part])), None)
        if whole is not None:
            return [whole, *_volumes(np.setdiff1d(group, whole), places, tags)]
    return [group]


def _parts(group: Labels, tag: Labels) -> list[Labels]:
    """The group by its values of a tag, in the order in which they first come."""
    values = tag[group]
    order = np.argsort(values, kind="stable")
    cuts = np.flatnonzero(np.diff(values[order])) + 1
    parts = np.split(group[order], cuts)
    return sorted(parts, key=lambda part: int(part[0]))


def _count(places: Labels) -> int:
    return len(np.unique(places))
