"""NRRD headers (.nrrd, .nhdr): `field: value` lines up to a blank one, or to the end of a detached header."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from maescan.decimals import counted
from maescan.errors import quoted
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

MAGIC = b"NRRD"
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **{"float": "f4", "double": "f8"},
}
ENCODINGS = {"raw": "", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
ENCODINGS |= dict.fromkeys(("ascii", "text", "txt"), "text")
TO_RAS = {"right": 1.0, "left": -1.0, "anterior": 1.0, "posterior": -1.0, "superior": 1.0, "inferior": -1.0}
GUESSED = "does not say which way its axes point: taken as LPS, left and right are a guess"


def read_nrrd_header(stream: BinaryIO, path: Path) -> ItkHeader:
    """Raises ScanError for what is not read, by name."""
    fields = _fields(stream, path)
    packing = ENCODINGS.get(fields["encoding"].lower())
    if packing is None:
        refuse(path, True, f"voxels in the encoding {quoted(fields['encoding'][:20])}")
    dtype = known(TYPES, fields["type"].lower(), path)
    sizes = fields.integers("sizes")
    if len(sizes) != fields.integer("dimension"):
        raise damaged(path, "sizes and dimension differ")
    if dtype.itemsize > 1 and packing != "text":
        dtype = dtype.newbyteorder(">" if fields["endian"].lower() == "big" else "<")
    axes, affine, notes = _geometry(fields, sizes)
    data, start = path, stream.tell()
    if detached := fields.get("datafile"):
        data, start = beside(path, detached), 0
    start, skip = _skipped(fields, data, start), fields.integer("byteskip", "0")
    if skip < 0:
        refuse(path, bool(packing), "compressed voxels behind other bytes")
        start = skip + 1 - int(np.prod(axes, dtype=object)) * dtype.itemsize
        return ItkHeader(path, axes, dtype, data, start, "", affine, notes)
    start, skip = (start, skip) if packing else (start + skip, 0)
    return ItkHeader(path, axes, dtype, data, start, str(packing), affine, notes, skip=skip)


def _fields(stream: BinaryIO, path: Path) -> Fields:
    fields, number = Fields(path), 0
    while line := header_line(stream, path):
        number += 1
        text = line.decode("latin-1").strip()
        if not text:
            break
        if number == 1 or text.startswith("#"):
            continue
        name, colon, value = text.partition(":")
        if not colon:
            raise damaged(path, f"line {number} is no 'field: value'")
        if value.startswith("="):  # key:=value is anybody's own
            continue
        fields.add(name.lower().replace(" ", ""), value.strip())
        if fields.get("datafile").startswith("LIST"):  # names of files follow, which are not read
            break
    return fields


def _skipped(fields: Fields, data: Path, start: int) -> int:
    """Where the data begin behind the lines to be skipped. Raises ScanError for fewer than none."""
    lines = fields.integer("lineskip", "0")
    if lines < 0:
        raise damaged(fields.path, f"its line skip is {lines}")
    if lines > 0:
        with open(data, "rb") as stream:
            stream.seek(start)
            for _ in range(min(lines, 2**16)):
                stream.readline(2**20)
            return stream.tell()
    return start


def _geometry(fields: Fields, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], Affine, tuple[str, ...]]:
    """Sizes of the spatial axes, voxel to RAS mm, and what was guessed."""
    path, space = fields.path, fields.get("space").lower()
    found = re.findall(r"\([^()]*\)|none", fields.get("spacedirections"))
    spatial = [axis for axis, size in enumerate(sizes) if not (found and found[axis : axis + 1] == ["none"])]
    spatial = [axis for axis in spatial if found or axis < 3 or sizes[axis] > 1]
    several = any(sizes[axis] > 1 for axis in set(range(len(sizes))) - set(spatial))
    refuse(path, several or len(spatial) > 3, f"{len(sizes)} axes, or several numbers per voxel")
    affine, notes = np.eye(4), []
    axes = tuple(sizes[axis] for axis in spatial)
    if found:
        if len(found) != len(sizes):
            raise damaged(path, f"{counted(len(found), 'space direction')} of {counted(len(sizes), 'axis', 'axes')}")
        vectors = [_vector(fields, found[axis], "space directions") for axis in spatial]
        units = re.findall(r'"([^"]*)"', fields.get("spaceunits"))
        factor = UNITS.get(units[0].lower(), 1.0) if units else 1.0
        if factor != 1:
            notes.append(f"its spacing is in {units[0]}")
        for axis, vector in enumerate(vectors[:3]):
            affine[:3, axis] = vector * factor
        if "spaceorigin" in fields:
            affine[:3, 3] = _vector(fields, fields["spaceorigin"], "space origin") * factor
        flips = _to_ras(space)
        notes += [GUESSED] if flips is None else []
        return axes, (LPS_TO_RAS if flips is None else flips) @ affine, tuple(notes)
    notes.append(UNORIENTED)
    if "spacings" in fields:
        words = [word for axis, word in enumerate(fields["spacings"].split()) if axis in spatial]
        steps = fields.floats(" ".join(words), "spacings")
        affine[range(len(steps[:3])), range(len(steps[:3]))] = steps[:3]
    else:
        notes.append(UNSPACED)
    return axes, LPS_TO_RAS @ affine, tuple(notes)


def _to_ras(space: str) -> Affine | None:
    """[4, 4] from a patient's space to RAS; None for a scanner's own or an unnamed one."""
    short = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}
    words: Iterable[str] = short.get(space, space).split("-")
    signs = [TO_RAS.get(word) for word in words]
    if len(signs) != 3 or None in signs:
        return None
    return np.diag([*(sign for sign in signs if sign), 1.0])


def _vector(fields: Fields, text: str, name: str) -> np.ndarray:
    vector = fields.floats(text.strip("() ").replace(",", " "), name)
    if len(vector) != 3:
        raise damaged(fields.path, f"its {name} are not of three numbers")
    return vector
