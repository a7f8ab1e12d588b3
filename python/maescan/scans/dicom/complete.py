"""Whether all images of a series are there, as far as their headers tell."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np

VOLUMES = ("CT", "MR", "PT", "NM")
"""Modalities whose series are volumes: one slice alone is the first of several."""
FAR = 1000
"""An instance number beyond this does not count from 1."""
TAGS = [
    *("SeriesInstanceUID", "InstanceNumber", "ImagesInAcquisition", "NumberOfSlices", "NumberOfFrames", "Modality"),
    *("AcquisitionNumber", "Rows", "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient"),
]
APART = 0.1
"""A distance may be this part of itself off what the header says."""


class Instance(NamedTuple):
    """What one image says. number: from 1 in most series; declared: images that its acquisition has; None and 0 where
    it does not say. frames: of an enhanced image. spacing: SpacingBetweenSlices; depth: position along the normal;
    mm."""

    series: str
    number: int | None
    declared: int
    frames: int
    modality: str
    spacing: float = 0.0
    depth: float | None = None


def instance_of(header: object) -> Instance:
    """Of a pydicom header with TAGS."""
    declared = max(whole(header, "ImagesInAcquisition") or 0, whole(header, "NumberOfSlices") or 0)
    series, modality = (str(getattr(header, tag, "") or "") for tag in ("SeriesInstanceUID", "Modality"))
    frames = whole(header, "NumberOfFrames") or 1
    spacing = _numbers(header, "SpacingBetweenSlices", 1)
    plane, position = _numbers(header, "ImageOrientationPatient", 6), _numbers(header, "ImagePositionPatient", 3)
    depth = float(np.dot(np.cross(plane[:3], plane[3:]), position)) if plane and position else None
    number = whole(header, "InstanceNumber")
    return Instance(series, number, declared, frames, modality, abs(spacing[0]) if spacing else 0.0, depth)


def whole(header: object, tag: str) -> int | None:
    """A whole number; None where the header has none, or something else (4.5, two numbers)."""
    try:
        return int(str(getattr(header, tag, None)))
    except ValueError:
        return None


def _numbers(header: object, tag: str, count: int) -> list[float]:
    """None at all where there are not so many finite ones."""
    try:
        value = getattr(header, tag, None)
        found = [float(x) for x in (value or ())] if count > 1 else [float(str(value))]
    except (TypeError, ValueError):
        return []
    return found if len(found) == count and np.isfinite(found).all() else []


def missing(instances: Collection[Instance]) -> str:
    """What lacks of a series, in words; '' where nothing tells that it is not whole."""
    if not instances or any(instance.frames > 1 for instance in instances):
        return ""
    numbers = sorted({instance.number for instance in instances if instance.number is not None})
    declared = max(instance.declared for instance in instances)
    if numbers and len(numbers) == len(instances) and 1 <= numbers[0] <= FAR:
        gaps = numbers[-1] - len(numbers)
        if gaps and not (_evenly(numbers) and _in_turn(instances)):
            verb = "is" if gaps == 1 else "are"
            return f"incomplete: {gaps} of the images before number {numbers[-1]} {verb} not there"
    if declared > len(instances):
        verb = "is" if len(instances) == 1 else "are"
        return f"incomplete: {len(instances)} of {declared} images {verb} there"
    if len(instances) == 1 and next(iter(instances)).modality in VOLUMES:
        return "incomplete: one image of a series alone"
    return ""


def _evenly(numbers: list[int]) -> bool:
    """Whether they count in equal steps over 1: an echo or a phase of several that are numbered in turn."""
    steps = {second - first for first, second in pairwise(numbers)}
    return len(steps) == 1 and steps != {1}


def _in_turn(instances: Collection[Instance]) -> bool:
    """Whether images counted in steps over 1 may be one echo of several: not in a CT, nor where they lie as many
    times SpacingBetweenSlices apart as their numbers."""
    if any(instance.modality == "CT" for instance in instances):
        return False
    placed = [(i.number, i.depth, i.spacing) for i in instances if i.number is not None and i.depth is not None]
    return not any(
        wide > 0 and abs(abs(far - near) - wide) <= APART * wide
        for (first, near, spacing), (second, far, _) in pairwise(sorted(placed))
        for wide in [(second - first) * spacing]
    )
