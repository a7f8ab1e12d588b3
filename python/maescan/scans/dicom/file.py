"""One DICOM file: is it one, and its header without its pixels."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from maescan.errors import ScanError
from maescan.scans.quiet import words
from maescan.scans.streams import open_plain

DEFLATED = "1.2.840.10008.1.2.1.99"
BOMB_RATIO, BOMB_BYTES = 100, 2**26
GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # how files without a preamble start
REMEDY = "copy it again from its source"


def is_dicom(path: Path) -> bool:
    """By its preamble, or where that is missing by the group of its first element."""
    with open_plain(path) as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or (start[:2] in GROUPS and len(start) == 132)


def read_header(path: Path, tags: list[str] | None = None) -> Any:
    """The pydicom dataset (only `tags` of it) up to its pixels. Raises ScanError for what is no DICOM file."""
    from pydicom import dcmread

    if not path.stat().st_size:
        raise ScanError("is empty", path=path, remedy=REMEDY)
    if not is_dicom(path):
        raise ScanError("is not a DICOM file", path=path, remedy="check where it comes from")
    _check_deflated(path)
    try:
        return dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
    except Exception as error:  # pydicom has no common type for damage
        raise ScanError(f"has a damaged DICOM header: {words(error)}", path=path, remedy=REMEDY) from error


def _check_deflated(path: Path) -> None:
    """pydicom inflates a deflated file whole, so measure first what it would become."""
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
