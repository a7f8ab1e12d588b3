"""Headers of MetaImage and NRRD, checked before SimpleITK sees the file: its C++ trusts what they declare."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maescan.errors import ScanError
from maescan.scans.quiet import words
from maescan.scans.sizes import check_deflated, check_length, check_shape
from maescan.scans.streams import open_plain

LONGEST = 2**16
META_TYPES = {
    **{"MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4},
    **{"MET_LONG": 8, "MET_ULONG": 8, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8},
}
"""Bytes of each element type. (MET_LONG is 4 bytes where it was written on some systems; ITK reads 8 on Linux.)"""
NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}


@dataclass(frozen=True)
class ItkHeader:
    """shape: of all axes, fastest first. itemsize: bytes of a voxel. data: the file that
    holds the voxels, from byte `start`. oriented: whether it says where the axes point. packed: declared bytes of
    compressed data, 0 where it does not say."""

    path: Path
    shape: tuple[int, ...]
    itemsize: int
    data: Path
    start: int
    compressed: bool
    oriented: bool
    nrrd: bool = False
    packed: int = 0

    @property
    def volumes(self) -> int:
        return math.prod(self.shape[3:])

    def check(self) -> None:
        """Raises ScanError where the data file does not hold what is declared."""
        if len(self.shape) < 3:
            raise ScanError(f"has {len(self.shape)} axes", path=self.path, remedy="a scan has three")
        check_shape(self.shape[:3], self.path)
        if self.volumes > 1:
            check_shape(self.shape[3:], self.path)
        declared = math.prod(self.shape) * self.itemsize
        with open_plain(self.data) as stream:  # it exists and can be read
            real = self.data.stat().st_size - self.start
            check_length(self.packed, min(real, self.packed), self.data)
            (check_deflated if self.compressed else check_length)(declared, real, self.data)
            self._check_zlib(stream)

    def _check_zlib(self, stream: BinaryIO) -> None:
        """MetaIO asks zlib for ever where compressed data wants a preset dictionary, which no scan has."""
        stream.seek(self.start)
        begin = stream.read(2)
        if self.compressed and not self.nrrd and len(begin) == 2 and begin[0] & 15 == 8 and begin[1] & 32:
            raise ScanError("its compressed voxels are damaged", path=self.data, remedy="copy it again")


def read_itk_header(path: Path) -> ItkHeader:
    """Of a .mhd, .mha, .nrrd or .nhdr file. Raises ScanError for what is not read, by name."""
    with open_plain(path) as stream:
        start = stream.read(LONGEST)
    if not start:
        raise ScanError("is empty", path=path, remedy="copy it again from its source")
    parse: Callable[[bytes, Path], ItkHeader] = _nrrd if start[:4] == b"NRRD" else _meta
    try:
        return parse(start, path)
    except KeyError as error:
        raise ScanError(
            f"its header lacks {error}", path=path, remedy="it is damaged, or not of this format"
        ) from error
    except ValueError as error:
        raise ScanError(f"its header is damaged: {words(error)}", path=path, remedy="copy it again") from error


def _meta(start: bytes, path: Path) -> ItkHeader:
    fields, length = {}, 0
    for line in start.splitlines(keepends=True):
        length += len(line)
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            raise ValueError(f"no key in '{line[:40].decode('latin-1')}'")
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            break
    _refuse(path, fields.get("binarydata", "true").lower() in ("false", "0"), "text voxels")
    _refuse(path, int(fields.get("elementnumberofchannels", 1)) != 1, "several numbers a voxel (colours or vectors)")
    kind = fields["elementtype"].upper()
    _refuse(path, kind not in META_TYPES, f"voxels of type {kind}")
    shape = tuple(int(n) for n in fields["dimsize"].split())
    if len(shape) != int(fields["ndims"]):
        raise ValueError("DimSize and NDims differ")
    local = fields["elementdatafile"].upper() == "LOCAL"
    skip = int(fields.get("headersize", 0))
    data = path if local else _beside(path, fields["elementdatafile"])
    compressed = fields.get("compresseddata", "false").lower() in ("true", "1")
    oriented = any(key in fields for key in ("transformmatrix", "rotation", "orientation"))
    _refuse(path, compressed and skip < 0, "compressed voxels at the end of another file")
    begin, packed = length if local else max(skip, 0), int(fields.get("compresseddatasize", 0)) if compressed else 0
    return ItkHeader(path, shape, META_TYPES[kind], data, begin, compressed, oriented, packed=packed)


def _nrrd(start: bytes, path: Path) -> ItkHeader:
    text, blank, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    encoding = fields["encoding"].lower()
    _refuse(path, encoding not in ("raw", "gzip", "gz"), f"voxels in the encoding '{encoding}'")
    kind = fields["type"].lower()
    _refuse(path, kind not in NRRD_TYPES, f"voxels of type '{kind}'")
    shape = tuple(int(n) for n in fields["sizes"].split())
    if len(shape) != int(fields["dimension"]):
        raise ValueError("sizes and dimension differ")
    directions = fields.get("spacedirections", "")
    _refuse(path, "none" in directions.split() or len(shape) > 3, f"{len(shape)} axes, or several numbers a voxel")
    detached = fields.get("datafile")
    data = path if detached is None else _beside(path, detached)
    skip = max(int(fields.get("byteskip", 0)), 0) + (0 if detached else len(text) + len(blank))
    return ItkHeader(path, shape, NRRD_TYPES[kind], data, skip, encoding != "raw", bool(directions), nrrd=True)


def _beside(path: Path, name: str) -> Path:
    """The data file, which must lie in its header's folder or below: a header may not name any file it likes."""
    several = not name or name.upper().startswith("LIST") or "%" in name or len(name.split()) > 3
    _refuse(path, several, "its voxels in several files")
    data = path.parent / name
    if path.parent.resolve() not in data.resolve().parents:
        raise ScanError(
            f"names '{name}', outside its folder", path=path, remedy="put the data file beside its header"
        )
    return data


def _refuse(path: Path, unusual: bool, what: str) -> None:
    if unusual:
        raise ScanError(f"holds {what}", path=path, remedy="save it as one plain 3-D volume")
