"""A DICOM concatenation: one enhanced image that was cut into several files."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from maescan.scans.dicom.complete import whole

TAGS = ["ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber"]


class Part(NamedTuple):
    """One file of a concatenation. number: from 1; total: how many there are, 0 where it does not say."""

    uid: str
    number: int
    total: int


def part_of(header: object) -> Part | None:
    """Of a pydicom header with TAGS; None for an image that is whole."""
    uid = str(getattr(header, TAGS[0], None) or "").strip()
    number, total = (whole(header, tag) or 0 for tag in TAGS[1:])
    return Part(uid, number, total) if uid else None


def lacking(parts: Collection[Part]) -> str:
    """What lacks of a concatenation, in words; '' where all of it is there."""
    numbers = {part.number for part in parts}
    total = max(max(part.total, part.number) for part in parts)
    if len(numbers) >= total:
        return ""
    told = ", ".join(str(number) for number in sorted(numbers)[:3]) + (" ..." if len(numbers) > 3 else "")
    return f"incomplete: part {told} of {total} of a concatenation"
