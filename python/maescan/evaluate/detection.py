"""FROC: which lesions a heat map finds, by their size, and how many false alerts that costs a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.method.tokens import not_air

FALSE_ALERTS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""A scan."""
SIZES = (20, 100, 500, 2500)
"""Voxels of the model's grid."""
Images = NDArray[np.float32]
NEIGHBOURS = np.ones((3, 3), bool)


@dataclass
class Component:
    """A lesion's part in one slice. row: of the slice in its set; pixels: flat, ascending; around: they and what
    touches them, by a corner too; peak: the map's highest value in it."""

    row: int
    pixels: NDArray[np.intp]
    around: NDArray[np.intp]
    peak: float


@dataclass
class Detections:
    """What is gathered of heat maps, slice by slice: the components of lesions, and in slices without a lesion the
    peaks (row, value): the highest pixel within `reach` pixels."""

    reach: int
    components: list[Component] = field(default_factory=list)
    peaks: list[tuple[int, float]] = field(default_factory=list)

    def add(
        self, first: int, images: NDArray[np.float32], heat: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> None:
        """Slices [B, H, W] from row `first` on."""
        from scipy import ndimage

        tissue = not_air(images)
        for i, (own, lesion) in enumerate(zip(heat, mask, strict=True)):
            if lesion.any():
                labels, count = ndimage.label(lesion, NEIGHBOURS)
                for number in range(1, count + 1):
                    part = labels == number
                    pixels, around = np.flatnonzero(part), np.flatnonzero(ndimage.binary_dilation(part, NEIGHBOURS))
                    self.components.append(Component(first + i, pixels, around, float(own.ravel()[pixels].max())))
                continue
            inside = np.where(tissue[i], own, -np.inf)  # what glows beyond the rim takes no peak from it
            highest = ndimage.maximum_filter(inside, size=2 * self.reach + 1)
            labels, count = ndimage.label((inside == highest) & tissue[i], NEIGHBOURS)  # a plateau is one peak
            values = ndimage.maximum(own, labels, range(1, count + 1)) if count else ()
            self.peaks += [(first + i, float(value)) for value in values]


def froc(
    detections: Detections, labels: ArrayLike, patients: ArrayLike, slices: ArrayLike
) -> dict[str, object] | None:
    """Sensitivity per lesion at each of FALSE_ALERTS per scan, all and by size. False alerts are peaks in normal
    slices, of scans without a lesion where there are any, else of all. None without lesions or normal slices."""
    label, patient = np.asarray(labels), np.asarray(patients)
    lesions = _lesions(detections.components, patient, np.asarray(slices))
    ill = np.unique(patient[label == 1])
    healthy = ~np.isin(patient, ill)
    counted = (label == 0) & (healthy if healthy.any() else True)
    scans = len(np.unique(patient[counted]))
    if not lesions or not scans:
        return None
    size, peak = np.array(lesions).T
    false = np.sort([value for row, value in detections.peaks if counted[row]])[::-1]
    rows = []
    for rate in FALSE_ALERTS:
        allowed = int(rate * scans)
        limit = false[allowed] if allowed < len(false) else -np.inf  # peaks over it are at most as many
        hit = peak > limit
        rows.append({"false_alerts": rate, "sensitivity": float(hit.mean()), "by_size": _by_size(size, hit)})
    sizes = np.searchsorted(SIZES, size, side="right")
    return {
        "lesions": len(lesions),
        "scans": scans,
        "healthy_scans": bool(healthy.any()),
        "sizes": [_name(number) for number in range(len(SIZES) + 1)],
        "count_by_size": [int((sizes == number).sum()) for number in range(len(SIZES) + 1)],
        "rows": rows,
    }


def _by_size(size: NDArray[np.float64], hit: NDArray[np.bool_]) -> list[float | None]:
    part = np.searchsorted(SIZES, size, side="right")
    return [float(hit[part == n].mean()) if (part == n).any() else None for n in range(len(SIZES) + 1)]


def _name(number: int) -> str:
    if number == 0:
        return f"under {SIZES[0]}"
    return f"{SIZES[-1]} and over" if number == len(SIZES) else f"{SIZES[number - 1]} to {SIZES[number]}"


def _lesions(
    parts: Sequence[Component], patient: NDArray[np.generic], slices: NDArray[np.generic]
) -> list[tuple[float, float]]:
    """(voxels, peak) of the lesions: components that touch in neighbouring slices of a patient, by a
    corner too as within a slice (26 neighbours), are one."""
    parent = list(range(len(parts)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    at: dict[tuple[str, int], list[int]] = {}
    for number, part in enumerate(parts):
        at.setdefault((str(patient[part.row]), int(slices[part.row])), []).append(number)
    for (name, level), numbers in at.items():
        for above in at.get((name, level + 1), ()):
            for number in numbers:
                if np.isin(parts[number].around, parts[above].pixels, assume_unique=True).any():
                    parent[root(number)] = root(above)
    whole: dict[int, tuple[float, float]] = {}
    for number, part in enumerate(parts):
        size, peak = whole.get(root(number), (0.0, -np.inf))
        whole[root(number)] = size + len(part.pixels), max(peak, part.peak)
    return list(whole.values())
