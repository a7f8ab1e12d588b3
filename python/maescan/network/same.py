"""Whether two files hold the same data set, in whatever transfer syntax."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement

LARGEST = 256 << 20
"""Bytes of a file, and of its pixels, beyond which data sets are not decoded to be compared."""
PIXELS, PADDING = 0x7FE00010, 0xFFFCFFFC
FOLLOWS = {"PlanarConfiguration", "PhotometricInterpretation", "BitsAllocated", "LossyImageCompression"}
"""What a decoder may write anew without another image coming of it."""


def same_data_set(first: Path, second: Path) -> bool:
    """Whether all elements are equal, pixels as they are when decoded. False where that cannot be told: what cannot
    be read, or is too large to be decoded beside other work."""
    from pydicom import dcmread

    if max(first.stat().st_size, second.stat().st_size) > LARGEST:
        return False
    try:
        pair = dcmread(first), dcmread(second)
        alike = pair[0].file_meta.TransferSyntaxUID == pair[1].file_meta.TransferSyntaxUID
        return _same(*pair, decode=not alike) and (alike or _same_pixels(*pair))
    except Exception:  # damage, for which pydicom has no common type
        return False


def lacks_pixels(path: Path) -> bool:
    """Whether an image has fewer bytes of pixels than its header tells, or cannot be read. Of a compressed one, whose
    length says nothing, whether it has none at all."""
    from pydicom import dcmread

    try:
        image = dcmread(path)
        if image.file_meta.TransferSyntaxUID.is_compressed:
            return not image.PixelData
        return len(image.PixelData) < _decoded(image)
    except Exception:  # damage, for which pydicom has no common type
        return True


def _same(first: Dataset, second: Dataset, *, decode: bool) -> bool:
    left, right = ({element.tag: element for element in each if _counts(element, decode)} for each in (first, second))
    return left.keys() == right.keys() and all(_equal(left[tag], right[tag]) for tag in left)


def _counts(element: DataElement, decode: bool) -> bool:
    """Group lengths and padding say nothing; pixels in different syntaxes are compared decoded."""
    tag = int(element.tag)
    apart = decode and (tag == PIXELS or element.keyword in FOLLOWS)
    return tag & 0xFFFF != 0 and tag != PADDING and not apart


def _equal(left: DataElement, right: DataElement) -> bool:
    if left.VR == "SQ" and right.VR == "SQ":
        pairs = list(zip(left.value, right.value, strict=False))
        return len(left.value) == len(right.value) and all(_same(a, b, decode=False) for a, b in pairs)
    return bool(left.value == right.value) or _bytes(left.value) == _bytes(right.value) != b""


def _bytes(value: object) -> bytes:
    """A value whose kind is not known in an implicit syntax, without the byte that makes its length even."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ")
    return str(value).encode("utf-8", "surrogateescape").rstrip(b"\0 ") if isinstance(value, str) else b""


def _decoded(image: Dataset) -> int:
    """Bytes of its pixels, once they are decoded."""
    bits = image.Rows * image.Columns * image.SamplesPerPixel * image.BitsAllocated
    return (int(bits) * int(image.get("NumberOfFrames") or 1) + 7) // 8


def _same_pixels(first: Dataset, second: Dataset) -> bool:
    import numpy as np

    if "PixelData" not in first and "PixelData" not in second:
        return True
    if max(_decoded(first), _decoded(second)) > LARGEST:
        return False
    return bool(np.array_equal(first.pixel_array, second.pixel_array))
