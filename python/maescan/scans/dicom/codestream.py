"""Compressed frames, looked at before a plug-in decodes them: there may be none that can, and its C trusts the size
that the frame declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maescan.errors import ScanError, quoted
from maescan.scans.streams import open_inflated

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

JPEG_2000 = b"\xff\x4f\xff\x51"
JPEG = b"\xff\xd8"
SIZE_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Start of a frame, in JPEG and JPEG-LS."""


def check_syntax(header: Dataset, path: Path) -> None:
    """Raises ScanError for pixels in a transfer syntax that nobody here decodes (JPEG XL, MPEG, a vendor's own): such
    a file is not damaged. One that is not said is guessed."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    if not syntax:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        reason = f"holds pixels in the transfer syntax {quoted(syntax.name)}, which is not read"
        remedy = "export it uncompressed, as Explicit VR Little Endian"
        raise ScanError(reason, path=path, remedy=remedy) from error
    if not decoder.is_available:
        reason = f"holds pixels in the transfer syntax {quoted(syntax.name)}, for which a decoder is missing"
        raise ScanError(reason, path=path, remedy="pip install 'maescan[dicom]'")


def check_codestreams(path: Path, rows: int, columns: int, frames: int) -> bool:
    """Whether there is a table of where the frames begin. Raises ScanError where a compressed frame is not one image
    of the header's size."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    with open_inflated(path) as stream:
        header = dcmread(stream, stop_before_pixels=True, force=True)
        stream.seek(12, 1)  # of the pixel element: tag, type and length
        start = stream.tell()
        table = "ExtendedOffsetTable" in header or int.from_bytes(stream.read(8)[4:], "little") > 0
        stream.seek(start)
        for frame in generate_frames(stream, number_of_frames=frames):
            size = declared_size(frame)
            if size not in ((rows, columns, 1), None):
                reason = f"a frame of {' x '.join(str(n) for n in size)} in an image of {rows} x {columns}"
                raise ScanError(reason, path=path, remedy="header and pixels disagree")
    return table


def declared_size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and numbers per pixel of a JPEG, JPEG-LS or JPEG 2000 frame; None for other encodings (RLE).
    All 0 where a JPEG has none."""
    start = frame.find(JPEG_2000, 0, 256)  # some writers put a JP2 header before it
    if start >= 0:
        right, bottom, left, top = (int.from_bytes(frame[start + i : start + i + 4], "big") for i in (8, 12, 16, 20))
        return bottom - top, right - left, int.from_bytes(frame[start + 40 : start + 42], "big")
    if not frame.startswith(JPEG):
        return None
    place = 2
    while place + 10 <= len(frame) and frame[place] == 0xFF:
        length = int.from_bytes(frame[place + 2 : place + 4], "big")
        if frame[place + 1] in SIZE_MARKERS:
            rows, columns = (int.from_bytes(frame[place + i : place + i + 2], "big") for i in (5, 7))
            return rows, columns, frame[place + 9]
        place += 1 if frame[place + 1] == 0xFF else 2 + length
    return 0, 0, 0
