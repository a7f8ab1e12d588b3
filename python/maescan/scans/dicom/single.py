"""Elements that have one value each: of several nobody knows which is meant, so the element is named."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from maescan.decimals import counted
from maescan.errors import ScanError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SINGLE = (
    *("Modality", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("SliceThickness", "RescaleSlope", "RescaleIntercept"),
)
"""What deciding about an image, and decoding it, asks of its header."""
NAMED = 3
"""How many of the values a refusal names."""


def check_single(header: Dataset, file: Path) -> None:
    """Raises ScanError for an element of SINGLE that has several values."""
    for tag, values in _several(header):
        raise several(tag, values, file)


def with_first(header: Dataset) -> Dataset:
    """The header with the first value of each such element: images that share the fault are found as one series."""
    for tag, values in _several(header):
        setattr(header, tag, values[0])
    return header


def several(tag: str, values: Sequence[object], file: Path) -> ScanError:
    """What is to be raised of an element with several values."""
    named = ", ".join(map(str, values[:NAMED])) + (" ..." if len(values) > NAMED else "")
    reason = f"has {counted(len(values), 'value')} in {tag}, where one belongs: {named}"
    return ScanError(reason, path=file, remedy="the header is damaged: export the series again")


def _several(header: Dataset) -> Iterator[tuple[str, Sequence[object]]]:
    for tag in SINGLE:
        if is_several(value := header.get(tag)):
            yield tag, value


def is_several(value: object) -> TypeGuard[Sequence[object]]:
    """Whether pydicom found several values in an element: it has lists of its own for them."""
    return isinstance(value, MutableSequence) and len(value) > 1
