"""Whether all images of a series are there, as far as their headers tell."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

VOLUMES = ("CT", "MR", "PT", "NM")
"""Modalities whose series are volumes: one slice alone is the first of several."""
FAR = 1000
"""An instance number beyond this does not count from 1."""
TAGS = [
    *("SeriesInstanceUID", "InstanceNumber", "ImagesInAcquisition", "NumberOfSlices", "NumberOfFrames", "Modality"),
    *("AcquisitionNumber", "Rows"),
]


class Instance(NamedTuple):
    """What one image says. number: from 1 in most series; declared: images that its acquisition has; None and 0 where
    it does not say. frames: of an enhanced image."""

    series: str
    number: int | None
    declared: int
    frames: int
    modality: str


def instance_of(header: object) -> Instance:
    """Of a pydicom header with TAGS."""

    def value(tag: str) -> int | None:
        try:
            return int(str(getattr(header, tag, None)))
        except ValueError:  # not there, or no number
            return None

    declared = max(value("ImagesInAcquisition") or 0, value("NumberOfSlices") or 0)
    series, modality = (str(getattr(header, tag, "") or "") for tag in ("SeriesInstanceUID", "Modality"))
    return Instance(series, value("InstanceNumber"), declared, value("NumberOfFrames") or 1, modality)


def missing(instances: Collection[Instance]) -> str:
    """What lacks of a series, in words; '' where nothing tells that it is not whole."""
    if not instances or any(instance.frames > 1 for instance in instances):
        return ""
    numbers = sorted({instance.number for instance in instances if instance.number is not None})
    declared = max(instance.declared for instance in instances)
    if numbers and len(numbers) == len(instances) and 1 <= numbers[0] <= FAR:
        gaps = numbers[-1] - len(numbers)
        if gaps and not _evenly(numbers):
            return f"incomplete: {gaps} of the images before number {numbers[-1]} are not there"
    if declared > len(instances):
        return f"incomplete: {len(instances)} of {declared} images are there"
    if len(instances) == 1 and next(iter(instances)).modality in VOLUMES:
        return "incomplete: one image of a series alone"
    return ""


def _evenly(numbers: list[int]) -> bool:
    """Whether they count in equal steps over 1: an echo or a phase of several that are numbered in turn."""
    steps = {second - first for first, second in pairwise(numbers)}
    return len(steps) == 1 and steps != {1}
