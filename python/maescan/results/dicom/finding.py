"""What is told of a scored scan in its DICOM results, whatever kind they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maescan.results.dicom import HIGHEST
from maescan.results.geometry import axial_places


@dataclass(frozen=True, eq=False)
class Finding:
    """One scan's result.

    scores [N]: of slices, or CT patches; levels [N]: the axial slice of each, 0 the most inferior; volume [X, Y, Z]
    float32: the map, on the scan's own grid; affine [4, 4]: voxel index to RAS+ mm; units: what the map's values are
    counted in, as `method.heat.units` says, or the "score" of CT patches; p_value, alert: None where the scan is not
    judged; threshold: map values above it are rare in healthy scans, None where that is not known."""

    score: float
    scores: NDArray[np.float32]
    levels: NDArray[np.int64]
    volume: NDArray[np.float32]
    affine: NDArray[np.float64]
    units: str
    p_value: float | None = None
    alert: bool | None = None
    slice_p: tuple[float, ...] = ()
    threshold: float | None = None
    fit: str = "ok"
    notes: tuple[str, ...] = ()

    def where(self, index: int) -> str:
        """The axial slice of a score, in words: also of a series of another plane, whose images it is none of."""
        _, _, (start, step) = axial_places(self.affine, self.volume.shape)
        return f"axial slice {self.levels[index]} at {start + step * int(self.levels[index]):+.1f} mm"

    def colours(self) -> tuple[float, float]:
        """The map's values that are drawn in half and in full red: what is rare in healthy scans and, of a judge,
        certainty, else twice that; where that is not known half of this scan's highest, and the highest."""
        if self.units == "probability":
            return self.threshold or 0.5, 1.0
        middle = self.threshold or max(float(self.volume.max()) / 2, 1e-6)
        return middle, 2 * middle

    def highest(self, count: int = HIGHEST) -> list[int]:
        """Indices of the highest scores, one a level, highest first."""
        found: dict[int, int] = {}
        for index in np.argsort(-self.scores, kind="stable"):
            found.setdefault(int(self.levels[index]), int(index))
        return list(found.values())[:count]


class Earlier(NamedTuple):
    """Results that were made of the scan before. key: as a `Maker`'s; report, supersedes: UIDs of series and instance
    of their report, and of the one that it took the place of."""

    key: str
    report: tuple[str, str] | None
    supersedes: tuple[str, str] | None


@dataclass(frozen=True)
class Maker:
    """What made the result: the algorithm as DICOM names it. key: hash of all that decides what is said, so that
    another result gets other UIDs; bundle: SHA-256 of its manifest; organ: where scans hold no BodyPartExamined."""

    key: str
    bundle: str
    preset: str
    engine: str
    version: str
    organ: str = ""
    supersedes: tuple[str, str] | None = None
    earlier: Earlier | None = None

    name: str = field(default="maescan", init=False)

    def settled(self, instances: str) -> Maker:
        """The maker for one scan. instances: hash of its images, in no order; of other images, other UIDs."""
        key = hashlib.sha256(f"{self.key} {instances}".encode()).hexdigest()
        before = self.earlier
        supersedes = before and (before.supersedes if before.key == key else before.report)
        return replace(self, key=key, supersedes=supersedes, earlier=None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """For people."""
        return f"bundle {self.bundle}", f"preset {self.preset}", f"engine {self.engine}"
