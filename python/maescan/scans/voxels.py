"""Voxels from bytes: four kept types, everything else becomes float32, and nothing that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError
from maescan.scans.scan import Array

KEPT = ("int16", "uint16", "uint8", "float32")
CHUNK = 2**20
PIECE = 2**22
"""Bytes asked of a stream at once: igzip makes a copy of each request."""


class Voxels:
    """A flat array that is filled piece by piece, so that no second copy of the volume ever exists. rest: bytes that
    follow all voxels that the header declares, those of other volumes included."""

    def __init__(self, size: int, stored: np.dtype):
        self.stored = stored
        self.kept = stored.newbyteorder("=").name in KEPT
        self.array: Array = np.empty(size, stored.newbyteorder("=") if self.kept else np.float32)
        self.rounded, self.rest = False, 0

    def fill(self, readinto: Callable[[memoryview], int]) -> int:
        """Fill from a stream; the bytes that were there (fewer than wanted: the stream is truncated)."""
        if self.kept:
            done = read_exactly(readinto, self.array)
            if not self.stored.isnative:
                self.array.byteswap(inplace=True)
            return done
        done, chunk = 0, np.empty(min(CHUNK, self.array.size), self.stored)
        for start in range(0, self.array.size, CHUNK):
            piece = chunk[: self.array.size - start]
            done += read_exactly(readinto, piece)
            self.convert(start, piece)
        return done

    @staticmethod
    def copy(array: Array) -> Voxels:
        """Of an array that belongs to somebody else, in its memory order (C-contiguous)."""
        voxels = Voxels(array.size, array.dtype)
        flat = array.reshape(-1)
        if voxels.kept:
            voxels.array[:] = flat
            return voxels
        for start in range(0, flat.size, CHUNK):
            voxels.convert(start, flat[start : start + CHUNK])
        return voxels

    def convert(self, start: int, piece: Array) -> None:
        """Store `piece` at `start` as float32, and note whether that changed a value."""
        target = self.array[start : start + piece.size]
        with np.errstate(all="ignore"):
            target[:] = piece
            self.rounded |= bool(((target != piece) & (piece == piece)).any())

    def warnings(self, shape: Sequence[int]) -> tuple[str, ...]:
        """What there is to say of the voxels of a volume [X, Y, Z]."""
        name, slice_ = self.stored.newbyteorder("=").name, shape[0] * shape[1] * self.stored.itemsize
        said = [f"{name} voxels were rounded to float32"] if self.rounded else []
        if self.rest >= slice_:
            more = (
                f"{self.rest} bytes follow what its header declares, {counted(self.rest // slice_, 'slice')} or more"
            )
            said.append(f"{more}: what is read may be incomplete, check its dimensions")
        return tuple(said)


def read_exactly(readinto: Callable[[memoryview], int], array: Array) -> int:
    """Read until `array` is full or the stream ends; the number of bytes read."""
    view, done = memoryview(array).cast("B"), 0  # type: ignore[arg-type]
    while done < len(view) and (got := readinto(view[done : done + PIECE])):
        done += got
    return done


def check_finite(voxels: Array, path: Path) -> bool:
    """Raises ScanError naming the number of NaN or infinite voxels, and for numbers so small that float32 hardly has
    them; True where all voxels are the same."""
    low, high = voxels.min(), voxels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(voxels.size - np.isfinite(voxels).sum())
        what = f"{count} of {voxels.size} voxels {'is' if count == 1 else 'are'}"
        reason = f"{what} NaN or infinite, or too large for float32"
        raise ScanError(reason, path=path, remedy="replace them, with 0 or air, in the tool that wrote the scan")
    if 0 < max(abs(float(low)), abs(float(high))) < np.finfo(np.float32).tiny:
        reason = f"its largest voxel is {max(abs(float(low)), abs(float(high))):.1g}, too small for float32"
        raise ScanError(reason, path=path, remedy="multiply it by a constant in the tool that wrote the scan")
    return bool(low == high)
