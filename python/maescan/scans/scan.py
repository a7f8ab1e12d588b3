"""`Scan`: one volume with its geometry, and the axial slices that the models see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ACQUIRED = 2
"""The storage axis along which images of a series lie."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume, as it lies in its file.

    voxels: [X, Y, Z] in storage order (any strides, native byte order), int16, uint16, uint8 or float32, finite.
    The measured value is ``voxels * slope + intercept``. affine: [4, 4] float64, voxel index to RAS+ millimetres.
    name: unique among the scans found together. warnings: what a reader of the score should know.
    meta: provenance in JSON types (modality, series UID, transfer syntax ...); never a patient's name.
    placed: fields of a NIfTI header that say where the voxels lie, for what is written beside it
    (`files.nifti_image`).
    """

    voxels: Array
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    name: str
    path: Path
    format: str
    warnings: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    placed: dict[str, object] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.voxels.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along each storage axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Where the storage axes point, nearest patient directions: 'RAS', 'LPS', ..."""
        letters = (("L", "R"), ("P", "A"), ("I", "S"))
        return "".join(letters[axis][sign > 0] for axis, sign in orientation(self.affine))


@dataclass(frozen=True)
class Axes:
    """How an axial view lies in its scan: view axis i is storage axis `order[i]`, reversed where `flip[i]`."""

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    def to_axial(self, array: Array) -> Array:
        """[X, Y, Z] in storage order -> [S, H, W], a view."""
        return array.transpose(self.order)[self._reversal]

    def to_storage(self, array: Array) -> Array:
        """[S, H, W] -> the scan's storage order [X, Y, Z], a view."""
        return array[self._reversal].transpose(tuple(int(i) for i in np.argsort(self.order)))

    @property
    def _reversal(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if f else 1) for f in self.flip)


def axial_view(scan: Scan) -> tuple[Array, Axes]:
    """The scan as axial slices [S, H, W]: a strided view, nothing is copied.

    Slice 0 is the most inferior, row 0 the most anterior, column 0 the patient's right. An oblique scan is cut
    along the storage axis nearest to superior, whichever plane it was acquired in.
    """
    axes = axial_axes(scan.affine)
    return axes.to_axial(scan.voxels), axes


def axial_axes(affine: NDArray[np.float64]) -> Axes:
    """The `Axes` of a scan with this affine [4, 4]."""
    storage = {patient: (axis, sign) for axis, (patient, sign) in enumerate(orientation(affine))}
    wanted = ((2, 1), (1, -1), (0, -1))  # superior up the slices, anterior to posterior, right to left
    order = tuple(storage[patient][0] for patient, _ in wanted)
    flip = tuple(storage[patient][1] != sign for patient, sign in wanted)
    return Axes((order[0], order[1], order[2]), (flip[0], flip[1], flip[2]))


def missing_slices(scan: Scan) -> tuple[int, ...]:
    """The axial slices that no image was there of, or a blank one; none of those that lie in another plane, where
    what is missing runs through all axial slices."""
    axes = axial_axes(scan.affine)
    along = axes.order[0]
    last = scan.voxels.shape[along] - 1
    return tuple(sorted(last - at if axes.flip[0] else at for at in _absent(scan)[along]))


def missing_across(scan: Scan) -> int:
    """How many slices that run through all axial ones are missing or blank."""
    along = axial_axes(scan.affine).order[0]
    return sum(len(found) for axis, found in enumerate(_absent(scan)) if axis != along)


def _absent(scan: Scan) -> list[set[int]]:
    """Of each storage axis the slices that were filled: no image of them was there, or a blank one
    (`blank.without_blanks`)."""
    found = [set(places) for places in scan.meta.get("blank") or ((), (), ())]
    found[ACQUIRED].update(scan.meta.get("missing") or ())
    return found


def orientation(affine: NDArray[np.float64]) -> list[tuple[int, int]]:
    """For each storage axis: the patient axis (0 R, 1 A, 2 S) that it is nearest to, and its sign, +1 or -1."""
    from nibabel.orientations import io_orientation

    return [(int(patient), int(sign)) for patient, sign in io_orientation(affine)]


def obliquity(affine: NDArray[np.float64]) -> float:
    """Degrees between superior and the storage axis that slices are cut along."""
    step = affine[:3, axial_axes(affine).order[0]]
    return float(np.degrees(np.arccos(min(1.0, abs(step[2]) / np.linalg.norm(step)))))
