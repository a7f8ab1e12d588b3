"""What a header declares, checked before any memory is taken for it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from maescan.errors import ConfigError, ScanError
from maescan.scans.budget import check_memory

MAX_VOXELS = 2**30
"""Voxels of one volume (1024 cubed); MAESCAN_MAX_VOXELS in the environment overrides it."""
MAX_FRAMES, FRAME_BYTES = 2**17, 8
"""Frames of one DICOM file, and the least that one takes: a compressed one's own tag and length."""
SLACK = 2**16
"""Bytes that may follow the declared data: some writers pad."""
DEFLATE = 1032
"""No deflate stream grows more than this many times."""
BOMB_RATIO, BOMB_BYTES = 200, 2**28
"""A scan does not shrink this much; a mask may, and is small."""


def most_voxels() -> int:
    """`MAX_VOXELS`, or what the environment has. Raises ConfigError for what is no number: no scan's fault."""
    text = os.environ.get("MAESCAN_MAX_VOXELS") or str(MAX_VOXELS)
    if not (text.isascii() and text.isdigit() and int(text)):
        remedy = f"give a whole number, as {MAX_VOXELS}, or unset it"
        raise ConfigError(f"the environment's MAESCAN_MAX_VOXELS is {text!r}", remedy=remedy)
    return int(text)


def check_shape(shape: Sequence[int], path: Path) -> int:
    """The number of voxels of a volume. Raises ScanError for empty, negative or absurd dimensions."""
    text = " x ".join(str(n) for n in shape)
    if not shape or min(shape) < 1:
        raise ScanError(f"dimensions {text} are not positive", path=path, remedy="the header is damaged")
    voxels = math.prod(int(n) for n in shape)
    limit = most_voxels()
    if voxels > limit:
        remedy = f"the header is damaged, or set MAESCAN_MAX_VOXELS above {limit}"
        raise ScanError(f"header declares {text} voxels, more than {limit}", path=path, remedy=remedy)
    check_memory(voxels, f"{text} voxels", path)
    return voxels


def check_frames(frames: int, real: int, path: Path) -> None:
    """Raises ScanError where a file of `real` bytes cannot hold so many frames, or nobody can."""
    if frames > min(MAX_FRAMES, real // FRAME_BYTES + 1):
        reason = f"declares {frames} frames in a file of {real} bytes"
        raise ScanError(reason, path=path, remedy="the header is damaged, or it is a bomb")


def check_length(declared: int, real: int, path: Path) -> None:
    """Raises ScanError where a plain file of `real` bytes cannot hold the `declared`, or holds far more."""
    if real < declared:
        reason = f"is truncated: its header declares {declared} bytes, it has {real}"
        raise ScanError(reason, path=path, remedy="copy it again from its source")
    if real > declared + SLACK:
        reason = f"holds {real - declared} bytes more than its header declares"
        raise ScanError(reason, path=path, remedy="header and data do not belong together")


def check_deflated(declared: int, compressed: int, path: Path) -> None:
    """Raises ScanError where `compressed` bytes cannot inflate to the `declared`, to far more, or
    only as a bomb does."""
    if declared > compressed * DEFLATE:
        reason = f"is truncated: {compressed} compressed bytes cannot hold the {declared} that its header declares"
        raise ScanError(reason, path=path, remedy="copy it again from its source")
    if compressed > declared + declared // 100 + SLACK:
        reason = f"holds {compressed} compressed bytes, far more than the {declared} that its header declares"
        raise ScanError(reason, path=path, remedy="header and data do not belong together")
    check_packed(declared, compressed, path)


def check_packed(declared: int, compressed: int, path: Path) -> None:
    """Raises ScanError where data of a compressor without a bound (bzip2, xz, Zstandard) inflate only as a bomb."""
    if declared > BOMB_BYTES and declared > compressed * BOMB_RATIO:
        reason = f"would inflate from {compressed} to {declared} bytes: a decompression bomb, not a scan"
        raise ScanError(reason, path=path, remedy="if it is a scan, store it uncompressed")


def check_volume(count: int, volume: int | None, path: Path) -> int:
    """The index of the volume to read. Raises ScanError where there are several and none was chosen."""
    if volume is None and count > 1:
        raise ScanError(f"holds {count} volumes", path=path, remedy=f"choose one with --volume 0 to {count - 1}")
    if volume is not None and not 0 <= volume < count:
        raise ScanError(f"has no volume {volume}", path=path, remedy=f"it holds {count}, counted from 0")
    return volume or 0
