"""Frames to a stack: sorted by position along the normal, and every fault of their spacing named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError, quoted
from maescan.scans.dicom.complete import whole
from maescan.scans.dicom.image import Frame
from maescan.scans.geometry import LPS_TO_RAS, Affine

TOUCHING = 0.01
"""Positions nearer than this many mm are the same."""
UNEVEN = 0.1
"""A slice may lie this part of the spacing off its even place."""
MANY = 3
"""Gaps of one width that are no accident."""
STEEP = 0.01
"""Tangent of the largest gantry tilt that counts as rounding (0.6 degrees)."""


@dataclass(frozen=True)
class Stack:
    """frames, with the slice index of each (a missing slice has no frame), and the affine [4, 4] to RAS+ mm of
    voxels indexed [column, row, slice]. accepted: faults by their names."""

    frames: list[Frame]
    slots: list[int]
    affine: Affine
    warnings: tuple[str, ...]
    accepted: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        return self.slots[-1] + 1


def stack(frames: Sequence[Frame], path: Path, accept: frozenset[str]) -> Stack:
    """The frames of one volume in order. Raises ScanError for duplicate or missing slices, irregular spacing and
    tilt, unless their names are in `accept`."""
    faults = _Faults(path, accept)
    normal = np.cross(frames[0].plane[:3], frames[0].plane[3:])
    frames = sorted(frames, key=lambda frame: float(frame.position @ normal))
    frames = _without_duplicates(frames, normal, faults)
    if len(frames) == 1:
        return _single(frames[0], normal)
    depths = np.array([frame.position @ normal for frame in frames])
    slots = _slots(depths, _numbers(frames), faults)
    step = (frames[-1].position - frames[0].position) / slots[-1]
    _check_tilt(frames, slots, step, normal, faults)
    names, reasons = zip(*faults.accepted, strict=True) if faults.accepted else ((), ())
    return Stack(frames, slots, _affine(frames[0], step), reasons, names)


class _Faults:
    """Refuses a fault by its name, or remembers that it was accepted."""

    def __init__(self, path: Path, accept: frozenset[str]):
        self.path, self.accept = path, accept
        self.accepted: list[tuple[str, str]] = []

    def add(self, name: str, reason: str, remedy: str, file: Path | None = None) -> None:
        """file: the one at fault, where there is one."""
        if name not in self.accept:
            raise ScanError(reason, path=self.path, remedy=f"{remedy}, or --accept {name}", file=file)
        self.accepted.append((name, reason))


def _without_duplicates(frames: list[Frame], normal: np.ndarray, faults: _Faults) -> list[Frame]:
    kept = [frames[0]]
    dropped: list[Frame] = []
    for frame in frames[1:]:
        same = (frame.position - kept[-1].position) @ normal < TOUCHING
        (dropped if same else kept).append(frame)
    if dropped:
        faults.add("duplicate-slices", *_duplicates(dropped))
    return kept


def _duplicates(dropped: list[Frame]) -> tuple[str, str, Path]:
    """Reason, remedy and file."""
    first = min(dropped, key=lambda frame: (str(frame.image.file), frame.index))
    if first.image.frames > 1:
        numbers = ", ".join(str(frame.index + 1) for frame in sorted(dropped, key=lambda frame: frame.index)[:3])
        frames = counted(len(dropped), "frame")
        reason = f"has {frames} at the positions of others, and nothing tells them apart: {numbers}"
        return reason, "convert it to NIfTI with dcm2niix and score one volume", first.image.file
    names = ", ".join(quoted(name) for name in sorted(frame.image.file.name for frame in dropped)[:3])
    reason = f"has {counted(len(dropped), 'duplicate slice')}, at the positions of others: {names}"
    return reason, "remove it" if len(dropped) == 1 else "remove them", first.image.file


def _numbers(frames: list[Frame]) -> np.ndarray | None:
    """What classic images are numbered; None where one is not."""
    numbers = [whole(frame.image.header, "InstanceNumber") for frame in frames if frame.image.frames == 1]
    return None if None in numbers or len(numbers) < len(frames) else np.array(numbers, np.float64)


def _slots(depths: np.ndarray, numbers: np.ndarray | None, faults: _Faults) -> list[int]:
    """The slice index of each depth: 0, 1, 2 ... with gaps where slices are missing."""
    gaps = np.diff(depths)
    spacing = float(np.median(gaps))
    counts = np.rint(gaps / spacing)
    whole_steps = counts.min() > 0 and (np.abs(gaps / spacing - counts) < UNEVEN * counts).all()
    if counts.max() > 1 and whole_steps and not _wider(counts, numbers):
        slots = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        missing = int(slots[-1] + 1 - len(depths))
        reason = f"lacks {missing} of {slots[-1] + 1} slices"
        faults.add("missing-slices", reason, "complete the series")
    else:
        slots = np.arange(len(depths))
    places = depths[0] + slots * (depths[-1] - depths[0]) / slots[-1]
    off = np.abs(depths - places).max()
    if off > UNEVEN * spacing or gaps.min() < spacing * (1 - 2 * UNEVEN):
        reason = f"has slices {gaps.min():.3g} to {gaps.max():.3g} mm apart, up to {off:.2g} mm off their even places"
        faults.add("irregular-spacing", reason, "resample it evenly")
    return [int(slot) for slot in slots]


def _wider(counts: np.ndarray, numbers: np.ndarray | None) -> bool:
    """Whether slices were acquired further apart, and none is missing: their numbers go on in equal steps; or, where
    these tell nothing, all near ones lie on one side of all far ones."""
    steps = np.zeros(0) if numbers is None else np.abs(np.diff(numbers))
    if len(steps) and steps.min() > 0:
        if (steps == steps[0]).all():
            return True
        if (steps == counts * steps[0] / counts[0]).all():
            return False
    changes = np.flatnonzero(np.diff(counts)) + 1
    return len(changes) == 1 and MANY <= changes[0] <= len(counts) - MANY


def _check_tilt(frames: list[Frame], slots: list[int], step: np.ndarray, normal: np.ndarray, faults: _Faults) -> None:
    along = float(step @ normal)
    shift = np.linalg.norm(step - along * normal)
    if shift > STEEP * along:
        degrees = np.degrees(np.arctan2(shift, along))
        faults.add("tilt", f"has a gantry tilt of {degrees:.1f} degrees", "resample it to right angles")
    places = frames[0].position + np.outer(slots, step)
    off = np.array([frame.position for frame in frames]) - places
    sideways = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max()
    if sideways > max(1.0, min(frames[0].spacing)):
        faults.add("irregular-spacing", f"has slices shifted sideways by {sideways:.3g} mm", "resample it evenly")


def _single(frame: Frame, normal: np.ndarray) -> Stack:
    thickness = frame.thickness or 1.0
    warning = f"is a single slice: {thickness:g} mm of thickness are its header's word"
    return Stack([frame], [0], _affine(frame, normal * thickness), (warning,))


def _affine(first: Frame, step: np.ndarray) -> Affine:
    affine = np.eye(4)
    affine[:3, 0] = first.plane[:3] * first.spacing[1]
    affine[:3, 1] = first.plane[3:] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return LPS_TO_RAS @ affine
