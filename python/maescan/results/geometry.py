"""Where a scored slice lies: in mm, in a viewer, in its DICOM series; and where the tissue of its scan is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maescan.scans.scan import Scan, axial_axes, missing_slices

AXES = "ijk"


class SlicePlace(NamedTuple):
    """mm: of the slice's middle, positive towards the head; axis, voxel: index along a storage axis, from 0;
    instance: its InstanceNumber, or None."""

    mm: float
    axis: str
    voxel: int
    instance: int | None


@dataclass(frozen=True)
class Geometry:
    """Of a scan's axial slices. mm, voxel: of slice 0, and from one slice to the next; axis: the storage axis, i, j
    or k, that they are cut along; box: `Prepared.box`; instances: by slice, where the scan has them; levels: of CT
    patches, the slice of each; missing: slices that no image was there of."""

    slices: int
    mm: tuple[float, float]
    voxel: tuple[int, int]
    axis: str
    box: tuple[tuple[float, float], ...] = ()
    instances: tuple[int | None, ...] = ()
    levels: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    @classmethod
    def of(cls, scan: Scan, box: Sequence[Sequence[float]] = (), levels: Sequence[int] = ()) -> Geometry:
        """levels: of CT patches, the axial slice of each."""
        axis, voxel, mm = axial_places(scan.affine, scan.voxels.shape)
        numbers = scan.meta.get("instances") or ()
        numbers = tuple(reversed(numbers) if voxel[1] < 0 else numbers) if axis == 2 else ()
        return cls(
            scan.voxels.shape[axis],
            (round(mm[0], 3), round(mm[1], 5)),
            voxel,
            AXES[axis],
            tuple((round(low, 3), round(high, 3)) for low, high in box),
            numbers if any(number is not None for number in numbers) else (),
            tuple(map(int, levels)),
            missing_slices(scan),
        )

    def place(self, index: int) -> SlicePlace:
        """Of slice, or CT patch, `index` of the scores."""
        at = self.levels[index] if index < len(self.levels) else index
        instance = self.instances[at] if at < len(self.instances) else None
        mm = self.mm[0] + at * self.mm[1]
        return SlicePlace(mm, self.axis, self.voxel[0] + at * self.voxel[1], instance)

    def to_json(self) -> dict[str, object]:
        """In JSON types; what is empty is left out."""
        whole = {"slices": self.slices, "mm": self.mm, "voxel": self.voxel, "axis": self.axis}
        more = {"box": self.box, "instances": self.instances, "levels": self.levels, "missing": self.missing}
        return {**whole, **{name: value for name, value in more.items() if value}}

    @classmethod
    def from_json(cls, values: Mapping[str, object] | None) -> Geometry | None:
        """What `to_json` made; None of nothing."""
        if not values:
            return None
        return cls(**{name: _tuples(value) for name, value in values.items()})  # type: ignore[arg-type]


def axial_places(
    affine: NDArray[np.float64], shape: Sequence[int]
) -> tuple[int, tuple[int, int], tuple[float, float]]:
    """The storage axis that axial slices are cut along; voxel of slice 0 and from one slice to the next; the same in
    mm, of their middles."""
    axes = axial_axes(affine)
    axis, middle = axes.order[0], (np.array(shape) - 1) / 2
    first, step = (shape[axis] - 1, -1) if axes.flip[0] else (0, 1)
    middle[axis] = first
    start = float(affine[2, :3] @ middle + affine[2, 3])
    return axis, (first, step), (start, step * float(affine[2, axis]))


def tissue_box(geometry: Geometry | None, shape: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """The box of a scan's tissue, of one that does not say all of its axial view of that shape."""
    return geometry.box if geometry and geometry.box else tuple((0.0, float(n)) for n in shape)


def axial_of(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """A volume [X, Y, Z] on a scan's own grid as axial slices [S, H, W], a view."""
    return np.asarray(axial_axes(affine).to_axial(volume))


def _tuples(value: object) -> object:
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value
