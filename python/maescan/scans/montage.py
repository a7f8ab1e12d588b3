"""A picture of scans as they are cut: a line of axial slices each, as a grey PNG, with numpy and zlib alone."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.content import opened
from maescan.errors import DataError
from maescan.files import atomic_file, check_outside
from maescan.scans import Scan, axial_view

TILE, TILES = 128, 7
"""Pixels of a tile's side, tiles a scan."""
ROWS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717", "65655")
GLYPHS = dict(zip("0123456789R", ROWS, strict=True))
"""Five rows of three pixels each, as octal digits."""
MARK = b"Software\0maescan"
"""A text chunk: says whose picture it is."""


class Montage:
    """Lines of slices, numbered from 1; inferior to superior, the patient's right (R) on the left."""

    def __init__(self) -> None:
        self.lines: list[NDArray[np.uint8]] = []
        self.drawn = False  # whether there is a slice in any line

    def add(self, tiles: NDArray[np.uint8] | None) -> None:
        """Add a line of a scan's slices (`tiles_of`); an empty line for None."""
        filled = np.zeros((TILES, TILE, TILE), np.uint8) if tiles is None else tiles
        line = np.concatenate(list(filled), axis=1)
        _write(line, str(len(self.lines) + 1), 3, 3)
        if tiles is not None:
            self.drawn = True
            _write(line, "R", TILE // 2, 3)
        self.lines.append(line)

    def write(self, path: Path) -> None:
        """Write the PNG, whole or not at all. Raises DataError where the folder cannot be written, and as
        `check_picture`."""
        check_picture(path)
        with atomic_file(path) as temporary:
            temporary.write_bytes(png(np.concatenate(self.lines or [np.zeros((TILE, TILE), np.uint8)])))


def check_picture(path: Path) -> None:
    """Raises DataError where `path` is there and no picture of ours, which may be written over; ConfigError for
    one in a bundle."""
    check_outside(path, "use another --picture")
    try:
        with opened(path) as stream:  # a pipe would wait for who writes into it
            ours = MARK in stream.read(64)
    except FileNotFoundError:
        ours = not path.is_symlink()
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=path, remedy="use another --picture") from error
    if not ours:
        raise DataError("exists already, and maescan did not write it", path=path, remedy="use another --picture")


def png(grey: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey image [H, W] as PNG."""
    height, width = grey.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), grey], axis=1)  # filter 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tEXt", MARK), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiles_of(scan: Scan) -> NDArray[np.uint8]:
    """Slices from 10 to 90 % of the height, [TILES, TILE, TILE], in true proportions, 1st to 99th percentile."""
    view, axes = axial_view(scan)
    millimetres = [scan.spacing[axis] * n for axis, n in zip(axes.order[1:], view.shape[1:], strict=True)]
    scale = max(millimetres) / TILE
    rows, columns = (_nearest(n, int(mm / scale)) for n, mm in zip(view.shape[1:], millimetres, strict=True))
    slices = np.linspace(0.1, 0.9, TILES) * (view.shape[0] - 1)
    picked = view[np.ix_(slices.round().astype(int), rows, columns)] * np.float32(np.sign(scan.slope))
    low, high = np.percentile(picked, (1, 99))
    grey = np.clip((picked - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    tiles = np.zeros((TILES, TILE, TILE), np.uint8)
    top, left = (TILE - len(rows)) // 2, (TILE - len(columns)) // 2
    tiles[:, top : top + len(rows), left : left + len(columns)] = grey
    return tiles


def _nearest(count: int, pixels: int) -> NDArray[np.intp]:
    """For each of `pixels` the nearest of `count` samples."""
    pixels = max(pixels, 1)
    return ((np.arange(pixels) + 0.5) * count / pixels).astype(np.intp)


def _write(line: NDArray[np.uint8], text: str, top: int, left: int) -> None:
    for letter in text:
        bits = np.array([[(int(row) >> bit) & 1 for bit in (2, 1, 0)] for row in GLYPHS[letter]], bool)
        glyph = bits.repeat(2, 0).repeat(2, 1)
        line[top : top + 10, left : left + 6][glyph] = 255
        left += 8
