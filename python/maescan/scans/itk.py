"""MetaImage (.mhd, .mha) and NRRD (.nrrd, .nhdr) to `Scan`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.scans.geometry import check_affine
from maescan.scans.itk_header import ItkHeader
from maescan.scans.metaimage import read_metaimage_header
from maescan.scans.nrrd import MAGIC, read_nrrd_header
from maescan.scans.packed import inflated
from maescan.scans.scan import Scan
from maescan.scans.sizes import SLACK, check_length, check_volume
from maescan.scans.streams import open_plain
from maescan.scans.voxels import PIECE, Voxels, check_finite

NUMBER = 64
"""Characters that a number may take as text, with what parts it from the next."""


def read_itk(
    path: Path, name: str, format: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Scan:
    """The scan whose header is at `path`. Raises ScanError."""
    header = read_itk_header(path)
    header.check(header.data.stat().st_size)
    index = check_volume(header.volumes, volume, path)
    warnings = header.notes + check_affine(header.affine, path, accept)
    voxels = _read(header, index)
    array = voxels.array.reshape(header.shape[:3], order="F")
    warnings += voxels.warnings(header.shape) + (("all voxels are equal",) if check_finite(array, path) else ())
    return Scan(array, 1.0, 0.0, header.affine, name, path, format, warnings)


def read_itk_header(path: Path) -> ItkHeader:
    """Of a .mhd, .mha, .nrrd or .nhdr file. Raises ScanError for what is not read, by name."""
    with open_plain(path) as stream:
        start = stream.read(4)
        stream.seek(0)
        if not start:
            raise ScanError("is empty", path=path, remedy="copy it again from its source")
        return (read_nrrd_header if start == MAGIC else read_metaimage_header)(stream, path)


def data_file_of(path: Path) -> tuple[Path, ...]:
    """The file beside a header that holds its voxels; nothing where they follow the header, or it is damaged."""
    try:
        data = read_itk_header(path).data
    except ScanError:
        return ()
    return () if data == path else (data,)


def _read(header: ItkHeader, volume: int) -> Voxels:
    """The voxels of one volume. Raises ScanError where there are fewer than declared, or far more."""
    count = math.prod(header.shape[:3])
    if header.packing == "text":
        return _read_text(header, count, volume)
    before = header.skip + volume * count * header.dtype.itemsize
    with _opened(header) as stream:
        if header.packing:
            _skip(stream, before, header)
        else:
            stream.seek(before, 1)
        voxels = Voxels(count, header.dtype)
        done = before + voxels.fill(stream.readinto)  # type: ignore[attr-defined]
        if done < before + count * header.dtype.itemsize:
            check_length(header.size, done, header.data)
        if header.packing:  # reading on to the end checks the data's own checksum as well
            done += _drain(stream, header.size + header.skip - done + SLACK + 1)
            check_length(header.size + header.skip, done, header.data)
            voxels.rest = done - header.size - header.skip
        elif header.start >= 0:
            voxels.rest = header.data.stat().st_size - header.start - header.size
    return voxels


@contextmanager
def _opened(header: ItkHeader) -> Iterator[BinaryIO]:
    with open_plain(header.data) as raw:
        if header.start < 0:
            raw.seek(max(0, header.data.stat().st_size + header.start))
        else:
            raw.seek(header.start)
        if not header.packing:
            yield raw
            return
        kind = header.packing
        if kind == "zlib":  # MetaIO takes gzip as well, and writers use it
            kind = "gzip" if raw.read(2) == b"\x1f\x8b" else "zlib"
            raw.seek(header.start)
        with inflated(raw, kind, header.data) as stream:
            yield stream


def _skip(stream: BinaryIO, count: int, header: ItkHeader) -> None:
    if (done := _drain(stream, count)) < count:
        check_length(header.size + header.skip, done, header.data)


def _drain(stream: BinaryIO, count: int) -> int:
    done = 0
    while done < count and (piece := stream.read(min(PIECE, count - done))):
        done += len(piece)
    return done


def _read_text(header: ItkHeader, count: int, volume: int) -> Voxels:
    """Voxels that are written as numbers."""
    longest = math.prod(header.shape) * NUMBER + header.skip
    with open_plain(header.data) as stream:
        stream.seek(header.start + header.skip)
        words = stream.read(longest + 1).split()
    if len(words) != math.prod(header.shape):
        reason = f"holds {counted(len(words), 'number')}, its header declares {math.prod(header.shape)}"
        raise ScanError(reason, path=header.data, remedy="copy it again from its source")
    try:
        values = np.array(words[volume * count : (volume + 1) * count], dtype=np.float64)
    except ValueError as error:
        raise ScanError("holds voxels that are no numbers", path=header.data, remedy="export it again") from error
    with np.errstate(all="ignore"):
        kept = values.astype(header.dtype)
    if not np.array_equal(kept, values, equal_nan=True) and header.dtype.kind != "f":
        reason = f"holds numbers that do not fit {header.dtype.name}"
        raise ScanError(reason, path=header.data, remedy="export it again")
    return Voxels.copy(kept)
