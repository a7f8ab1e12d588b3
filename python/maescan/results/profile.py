"""Slice profiles: a scan's scores from below to above as the paths of an SVG, 600 by 150, one scale for all scans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maescan.decimals import short
from maescan.results.geometry import Geometry

WIDTH, HEIGHT, TOP = 600, 150, 8


class Mark(NamedTuple):
    """A slice that is drawn."""

    x: float
    y: float
    at: int


class Profile(NamedTuple):
    """scores: of the slices, as text, "-" of one that is missing; where: mm of slice 0 and step, axis, voxel of slice
    0 and step; band: where the band of healthy scans lies, a transform; first, last: what is at the ends."""

    line: str
    marks: Sequence[Mark]
    scores: str
    where: str
    band: str
    first: str
    last: str


class Axis(NamedTuple):
    """Of scores: 0, or the least where they are negative, as SSIM's are, to the highest."""

    low: float
    top: float

    @classmethod
    def of(cls, scores: Iterable[float]) -> Axis:
        """That holds them all."""
        found = sorted(scores)
        low = min(0.0, found[0])
        return cls(low, max(found[-1], low + 1e-6))

    def part(self, score: float) -> float:
        """Where a score lies, 0 to 1; what is beyond an end lies there."""
        return min(1.0, max(0.0, (score - self.low) / (self.top - self.low)))


def height_of(score: float, axis: Axis) -> int:
    """Of a score, from above."""
    return round(HEIGHT - (HEIGHT - TOP) * axis.part(score))


def profile_of(scores: NDArray[np.float32], drawn: Sequence[int], geometry: Geometry | None, axis: Axis) -> Profile:
    """Of slice scores [S], or of CT patches. drawn: marked slices."""
    count = len(scores)
    wide = WIDTH / max(1, count - 1)
    heights = [height_of(score, axis) for score in scores.tolist()]
    missing = set(geometry.missing if geometry else ())
    shown = [i for i in range(count) if i not in missing]
    line = "".join(f"{'L' if i and i - 1 not in missing else 'M'}{i * wide:.4g} {heights[i]}" for i in shown)
    if count == 1:
        line = f"M0 {heights[0]}H{WIDTH}"
    marks = [Mark(round(i * wide, 1), heights[i], i) for i in drawn]
    where, band, first, last = "", "", "first", "last"
    if geometry is not None and not geometry.levels:
        (mm, step), (voxel, by) = geometry.mm, geometry.voxel
        where = f"{mm:g} {step:g} {geometry.axis} {voxel} {by}"
        first, last = f"{mm:.0f} mm (feet)", f"{mm + (count - 1) * step:.0f} mm (head)"
        if geometry.box:
            low, high = geometry.box[0]
            band = f"translate({low * wide:.4g} 0) scale({max(high - 1 - low, 0.5) * wide / WIDTH:.4g} 1)"
    said = " ".join("-" if i in missing else short(score) for i, score in enumerate(scores.tolist()))
    return Profile(line, marks, said, where, band, first, last)


def band_of(curves: Sequence[Sequence[float]], axis: Axis) -> dict[str, str]:
    """The area and the middle of `method.healthy.profile`, over the whole width."""
    low, middle, high = ([height_of(value, axis) for value in curve] for curve in curves)
    wide = WIDTH / max(1, len(middle) - 1)
    above = "".join(f"{'L' if i else 'M'}{i * wide:.4g} {y}" for i, y in enumerate(high))
    below = "".join(f"L{i * wide:.4g} {low[i]}" for i in reversed(range(len(low))))
    line = "".join(f"{'L' if i else 'M'}{i * wide:.4g} {y}" for i, y in enumerate(middle))
    return {"area": f"{above}{below}Z", "middle": line}
