"""What a MetaImage or NRRD header says. One parser, ours, decides what is checked and what is read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError, quoted
from maescan.scans.geometry import Affine
from maescan.scans.packed import DEFLATED
from maescan.scans.sizes import check_deflated, check_length, check_packed, check_shape

LONGEST = 2**24
"""Bytes of a header: a sequence of thousands of frames has a few lines for each."""
UNORIENTED = "has no orientation: taken as LPS, left and right are a guess"
UNSPACED = "has no spacing: taken as 1 x 1 x 1 mm"
UNITS = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "\N{MICRO SIGN}m": 0.001, "?": 1.0, "": 1.0}


@dataclass(frozen=True)
class ItkHeader:
    """shape: of all axes, fastest first. dtype: of a voxel as it is stored. data: the file that holds the voxels,
    from byte `start` (counted from its end where that is negative). packing: '', 'gzip', 'zlib', 'bzip2' or 'text';
    packed: bytes of packed data, 0 where the header does not say; skip: bytes to leave out once it is unpacked.
    affine: [4, 4], voxel to RAS mm. notes: what had to be guessed."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    data: Path
    start: int
    packing: str
    affine: Affine
    notes: tuple[str, ...] = ()
    packed: int = 0
    skip: int = 0

    @property
    def volumes(self) -> int:
        return math.prod(self.shape[3:])

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check(self, real: int) -> None:
        """Raises ScanError where a data file of `real` bytes cannot hold what is declared, or holds far more."""
        if len(self.shape) < 3:
            raise ScanError(
                f"has {counted(len(self.shape), 'axis', 'axes')}", path=self.path, remedy="a scan has three"
            )
        check_shape(self.shape[:3], self.path)
        if self.shape[3:]:
            check_shape(self.shape[3:], self.path)
        real = real - self.start if self.start >= 0 else min(real, -self.start)
        check_length(self.packed, min(real, self.packed), self.data)
        if self.packing in DEFLATED:
            check_deflated(self.size + self.skip, self.packed or real, self.data)
        elif self.packing == "bzip2":
            check_packed(self.size + self.skip, real, self.data)
        elif not self.packing:
            check_length(self.size, real, self.data)


class Fields:
    """The fields of a header, by name in small letters without blanks; each at most once."""

    def __init__(self, path: Path):
        self.path = path
        self._values: dict[str, str] = {}

    def add(self, name: str, value: str) -> None:
        """Raises ScanError where a field comes twice with two values: readers would differ on which counts."""
        if self._values.setdefault(name, value) != value:
            reason = f"says {quoted(name[:40])} twice"
            raise ScanError(reason, path=self.path, remedy="remove one of them from its header")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> str:
        if name not in self._values:
            reason = f"its header lacks '{name}'"
            raise ScanError(reason, path=self.path, remedy="it is damaged, or not of this format")
        return self._values[name]

    def get(self, name: str, default: str = "") -> str:
        """The value, or `default`."""
        return self._values.get(name, default)

    def first(self, names: Sequence[str]) -> str | None:
        """The value of the first of `names` that is there."""
        return next((self._values[name] for name in names if name in self._values), None)

    def integer(self, name: str, default: str | None = None) -> int:
        """Raises ScanError where it is none, or missing without a default."""
        return self.integers(name, default)[0]

    def integers(self, name: str, default: str | None = None) -> tuple[int, ...]:
        """Raises ScanError where it is not a list of whole numbers; what stands there instead is not repeated."""
        text = self[name] if default is None else self.get(name, default)
        try:
            values = tuple(int(word) for word in text.split())
        except ValueError:
            values = ()
        if not values or max(map(abs, values)) >= 2**63:
            raise damaged(self.path, f"its {name} is not a list of whole numbers")
        return values

    def floats(self, text: str, name: str) -> np.ndarray:
        """Numbers from text, finite. Raises ScanError naming the field."""
        try:
            values = np.array([float(word) for word in text.split()])
        except ValueError:
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            raise damaged(self.path, f"its {name} is not a list of numbers")
        return values


def damaged(path: Path, reason: str) -> ScanError:
    """A ScanError for a header that makes no sense."""
    return ScanError(f"its header is damaged: {reason}", path=path, remedy="copy it again from its source")


def refuse(path: Path, unusual: bool, what: str) -> None:
    """Raises ScanError for content that is no single plain volume."""
    if unusual:
        raise ScanError(f"holds {what}", path=path, remedy="save it as one plain 3-D volume")


def known(table: Mapping[str, str], kind: str, path: Path) -> np.dtype:
    """The type of voxels by its name in a header. Raises ScanError for one that is not read."""
    refuse(path, kind not in table, f"voxels of type {quoted(kind[:20])}")
    return np.dtype(table[kind])


def header_line(stream: BinaryIO, path: Path) -> bytes:
    """The next line, with its end. Raises ScanError past the longest header."""
    if stream.tell() > LONGEST:
        raise damaged(path, f"it does not end within {LONGEST} bytes")
    return stream.readline(2**20)


def beside(path: Path, name: str) -> Path:
    """The data file, which must lie in its header's folder or below: a header may not name any file it likes.
    name: the header's bytes as Latin-1. Raises ScanError where there is no such file, or it lies elsewhere."""
    if not name or "\0" in name:
        raise damaged(path, "it names no data file")
    words, names = name.split(), list(_spelled(name))
    name = next((each for each in names if os.path.lexists(path.parent / each)), names[0])
    data = path.parent / name
    if Path(os.path.realpath(path.parent)) not in Path(os.path.realpath(data)).parents:
        reason = f"names {quoted(name[:80])}, outside its folder"
        raise ScanError(reason, path=path, remedy="put the data file beside its header, and its name in the header")
    if not data.is_file():
        refuse(path, words[0] == "LIST" or "%" in name, "its voxels in several files")
        gone, remedy = "is missing", f"put it beside {quoted(path.name)}"
        if data.exists():
            gone = "is not a file"
        elif data.is_symlink():
            gone, remedy = "is a link to nowhere", "fetch its content"
        reason = f"{quoted(data.name)}, which holds the voxels of {quoted(path.name)}, {gone}"
        raise ScanError(reason, path=data, remedy=remedy)
    return data


def _spelled(name: str) -> Iterator[str]:
    """What the file may be called on this machine: as the header's bytes, as its Latin-1, as Windows writes paths."""
    for each in dict.fromkeys((os.fsdecode(name.encode("latin-1")), name)):
        yield each
        if "\\" in each:
            yield each.replace("\\", "/")
