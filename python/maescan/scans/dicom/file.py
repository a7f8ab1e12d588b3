"""One DICOM file: is it one, and its header without its pixels."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from maescan.errors import ScanError
from maescan.scans.hollow import hollow
from maescan.scans.packed import packing_of
from maescan.scans.quiet import one_line, quiet
from maescan.scans.streams import open_inflated, open_plain, packing

PRIVATE_GE, IMPLICIT = b"1.2.840.113619.5.2", b"1.2.840.10008.1.2\0"
START = 4096
"""Bytes in which the transfer syntax is named."""
DEFLATED = "1.2.840.10008.1.2.1.99"
BOMB_RATIO, BOMB_BYTES = 100, 2**26
GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # how files without a preamble start
VALUES = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split()
"""Value representations, as explicit syntaxes write them."""
LONGEST_FIRST = 2**16
REMEDY = "copy it again from its source"


def is_dicom(path: Path) -> bool:
    """By its preamble, or where that is missing by its first element."""
    with open_plain(path) as stream:  # one look: there are folders of thousands of other files
        start = stream.read(132)
    if packing_of(start):
        with open_inflated(path) as stream:
            start = stream.read(132)
    return start[128:] == b"DICM" or (len(start) == 132 and _begins(start, path.stat().st_size))


def _begins(start: bytes, size: int) -> bool:
    """Whether a file without a preamble begins with an element that may come first, of a length that it can have."""
    if start[:2] not in GROUPS:
        return False
    order: Literal["little", "big"] = "little" if start[0] else "big"
    if start[4:6].isalpha() and start[4:6].isupper():
        return start[4:6] in VALUES
    return int.from_bytes(start[4:8], order) <= min(size, LONGEST_FIRST)


def read_header(path: Path, tags: list[str] | None = None) -> Any:
    """The pydicom dataset (only `tags` of it) up to its pixels. Raises ScanError for what is no DICOM file."""
    from pydicom import dcmread

    if lost := hollow(path):
        raise ScanError(lost, path=path, remedy=REMEDY)
    if not is_dicom(path):
        raise ScanError("is not a DICOM file", path=path, remedy="check where it comes from")
    refuse_bomb(path)
    try:
        with quiet():
            return dcmread(as_dicom(path), stop_before_pixels=True, force=True, specific_tags=tags)
    except Exception as error:  # pydicom has no common type for damage
        raise ScanError(f"has a damaged DICOM header: {one_line(error)}", path=path, remedy=REMEDY) from error


def as_dicom(path: Path) -> Path | BytesIO:
    """What pydicom reads the file from: itself, or where it is compressed, or in GE's private syntax, its content
    in memory, with the syntax named that its header is in. Raises ScanError for a bomb."""
    if not packing(path) and not is_private_ge(path):
        return path
    limit = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
    with open_inflated(path) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ScanError(f"inflates to over {limit} bytes: a bomb, not a scan", path=path, remedy=REMEDY)
    return BytesIO(content.replace(PRIVATE_GE, IMPLICIT, 1) if PRIVATE_GE in content[:START] else content)


def inflated_size(path: Path) -> int:
    """Bytes of the file once it is decompressed."""
    if not packing(path):
        return path.stat().st_size
    content = as_dicom(path)
    return path.stat().st_size if isinstance(content, Path) else content.getbuffer().nbytes


def is_private_ge(path: Path) -> bool:
    """Whether its pixels are big-endian behind a little-endian header: GE's own transfer syntax."""
    with open_inflated(path) as stream:
        return PRIVATE_GE in stream.read(START)


def refuse_bomb(path: Path) -> None:
    """pydicom inflates a deflated file whole, so measure first what it would become. Raises ScanError."""
    with open_plain(path) as stream:
        start = stream.read(4096)
        if DEFLATED.encode() not in start or start[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
            return
        stream.seek(144 + int.from_bytes(start[140:144], "little"))
        inflated, limit = 0, max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            while piece := inflater.unconsumed_tail or stream.read(2**16):
                inflated += len(inflater.decompress(piece, 2**20))
                if inflated > limit:
                    raise ScanError(f"inflates to over {limit} bytes: a bomb, not a scan", path=path, remedy=REMEDY)
        except zlib.error as error:
            raise ScanError(f"has damaged deflated data: {error}", path=path, remedy=REMEDY) from error
