"""MetaImage headers (.mhd, .mha): `Key = value` lines that end with ElementDataFile."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from maescan.decimals import counted
from maescan.scans.geometry import LPS_TO_RAS, Affine
from maescan.scans.itk_header import (
    UNITS,
    UNORIENTED,
    UNSPACED,
    Fields,
    ItkHeader,
    beside,
    damaged,
    header_line,
    known,
    refuse,
)

TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i8", "MET_ULONG": "u8", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
"""(MET_LONG is 4 bytes where it was written on some systems; ITK reads 8 on Linux, and so do we.)"""
MATRIX = ("transformmatrix", "rotation", "orientation")
ORIGIN = ("offset", "position", "origin")
DATA, SLOPE = "elementdatafile", "elementtointensityfunctionslope"


def read_metaimage_header(stream: BinaryIO, path: Path) -> ItkHeader:
    """Raises ScanError for what is not read, by name."""
    fields = _fields(stream, path)
    shape = fields.integers("dimsize")
    if len(shape) != fields.integer("ndims"):
        raise damaged(path, "DimSize and NDims differ")
    refuse(path, not _true(fields.get("binarydata", "True")), "text voxels")
    refuse(
        path, fields.integer("elementnumberofchannels", "1") != 1, "several numbers per voxel (colours or vectors)"
    )
    dtype = known(TYPES, fields["elementtype"].upper(), path)
    order = fields.first(("elementbyteordermsb", "binarydatabyteordermsb")) or "False"
    packing = "zlib" if _true(fields.get("compresseddata", "False")) else ""
    affine, notes = _affine(fields, len(shape))
    header, data, local = fields.integer("headersize", "0"), path, fields[DATA].upper() == "LOCAL"
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    start = stream.tell()
    if not local:
        _no_second(stream, path)
        data, start = beside(path, fields[DATA]), 0
    if header < -1:
        raise damaged(path, f"its HeaderSize is {header}")
    refuse(path, bool(packing) and header < 0, "compressed voxels at the end of other bytes")
    start = header or start if header >= 0 else -size
    packed = max(0, fields.integer("compresseddatasize", "0")) if packing else 0
    dtype = dtype.newbyteorder(">" if _true(order) else "<")
    return ItkHeader(path, shape, dtype, data, start, packing, affine, notes, packed)


def _fields(stream: BinaryIO, path: Path) -> Fields:
    """Up to and with ElementDataFile, behind which the voxels of a .mha begin."""
    fields = Fields(path)
    number = 0
    while DATA not in fields and (line := header_line(stream, path)):
        number += 1
        text = line.decode("latin-1").strip()
        if not text or text.startswith("#"):
            continue
        name, mark, value = text.partition("=" if "=" in text else ":")
        if not mark:  # what stands there is not repeated: a link may have brought us to any file
            raise damaged(path, f"line {number} is no 'key = value'")
        name = name.strip().lower()
        if name not in ("comment", "name"):
            fields.add(name, value.strip())
    return fields


def _no_second(stream: BinaryIO, path: Path) -> None:
    """Raises ScanError where a second data file is named behind the first one, which other readers would follow."""
    while line := header_line(stream, path):
        if line.decode("latin-1").partition("=")[0].strip().lower() == DATA:
            raise damaged(path, "it names its data file twice")


def _true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _affine(fields: Fields, axes: int) -> tuple[Affine, tuple[str, ...]]:
    """Voxel to RAS mm, and what was guessed. A file's matrix holds the direction of one axis after the other."""
    affine, notes = np.eye(4), []
    count = min(axes, 3)
    matrix, spacing = fields.first(MATRIX), fields.first(("elementspacing", "elementsize"))
    directions = np.eye(axes)
    if matrix is None:
        notes.append(UNORIENTED)
    else:
        directions = _numbers(fields, matrix, axes * axes, "TransformMatrix").reshape(axes, axes)
    if spacing is None:
        notes.append(UNSPACED)
    unit = fields.get("distanceunits", "?").lower()
    factor = UNITS.get(unit, 1.0)
    if factor != 1:
        notes.append(f"its spacing is in {unit}")
    steps = np.ones(axes) if spacing is None else _numbers(fields, spacing, axes, "ElementSpacing") * factor
    affine[:count, :count] = directions[:count, :count].T * steps[:count]
    origin = fields.floats(fields.first(ORIGIN) or "", "Offset") * factor
    if len(origin) not in (0, count, axes):
        notes.append(f"its Offset has {counted(len(origin), 'number')} in place of {axes}")
    affine[: len(origin[:count]), 3] = origin[:count]
    if (fields.floats(fields.get(SLOPE, "1"), SLOPE) != 1).any():
        notes.append("its ElementToIntensityFunctionSlope is not applied")
    return LPS_TO_RAS @ affine, tuple(notes)


def _numbers(fields: Fields, text: str, count: int, name: str) -> np.ndarray:
    values = fields.floats(text, name)
    if len(values) != count:
        raise damaged(fields.path, f"its {name} has {counted(len(values), 'number')} in place of {count}")
    return values
