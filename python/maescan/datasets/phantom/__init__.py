"""Artificial scans: anatomy that varies from scan to scan, lesions that no trivial measure gives away.

A scan is a function of (seed, index, kind). Lesions have soft edges, push tissue aside and are of either sign; their
heights are uniform over the slices, so that neither area, position nor mean intensity tells an abnormal slice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.phantom import brain, chest
from maescan.datasets.phantom.fields import Grid
from maescan.datasets.phantom.lesions import plan
from maescan.errors import ConfigError, DataError
from maescan.files import JUNK, atomic_file, claim, remove_partial, write_csv, write_nifti, write_text
from maescan.folders import alone
from maescan.scans.scan import axial_axes

Kind = Literal["brain", "lung"]
Shape = tuple[int, int, int]

SHAPE: Shape = (96, 96, 32)
KINDS: dict[str, tuple[Kind, ...]] = {"brain": ("brain",), "lung": ("lung",), "both": ("brain", "lung")}
EXTENTS = {"brain": brain.EXTENT, "lung": chest.EXTENT}


@dataclass(frozen=True, eq=False)
class Phantom:
    """voxels [X, Y, Z] int16 (a lung's in HU); mask [X, Y, Z] bool, the lesions; affine [4, 4], voxel to RAS+ mm."""

    voxels: NDArray[np.int16]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    def labels(self) -> NDArray[np.int64]:
        """0 or 1 for each axial slice, the most inferior first."""
        return axial_axes(self.affine).to_axial(self.mask).any(axis=(1, 2)).astype(int)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What scans are made: their kind, brain, lung or both; their voxels; whether lungs are MetaImage instead of
    NIfTI; whether the air around a brain keeps its noise."""

    kind: str = "brain"
    shape: Shape | None = None
    mhd: bool = False
    noisy_air: bool = False


def write_phantom(
    out: Path,
    *,
    healthy: int,
    lesions: int,
    seed: int,
    look: Look = Look(),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes OUT/healthy, OUT/lesions, OUT/masks (masks have their scan's name) and OUT/labels.csv (scan, slice,
    label), `healthy` and `lesions` scans of each kind of `look`. `progress` is called with (scans done, scans in
    all).

    Raises ConfigError for an unknown kind or shape, DataError where `out` cannot be written, holds scans that this
    call does not write, or is being written into.
    """
    if look.kind not in KINDS:
        raise ConfigError(f"unknown kind '{look.kind}'", remedy=f"use one of {', '.join(KINDS)}")
    claim(out, "phantom scans", mark=".maescan-phantom")
    with alone(out, f"wait for it, or {_NEW}"):
        remove_partial(out)
        _write(out, (healthy, lesions), seed, look, progress)


def _write(
    out: Path, counts: tuple[int, int], seed: int, look: Look, progress: Callable[[int, int], None] | None
) -> None:
    healthy, lesions = counts
    jobs = [(each, index) for each in KINDS[look.kind] for index in range(healthy + lesions)]
    places = [_place(each, index, healthy, look) for each, index in jobs]
    _check_others(out, places)
    (out / "labels.csv").unlink(missing_ok=True)  # killed, it leaves scans and their masks
    rows: list[tuple[str, int, int]] = []
    for done, ((each, index), (folder, name)) in enumerate(zip(jobs, places, strict=True), start=1):
        ill = folder == "lesions"
        made = make_phantom(each, index, seed, ill=ill, shape=look.shape, noisy_air=look.noisy_air)
        write_scan(out / folder / name, made.voxels, made.affine)
        if ill:
            write_scan(out / "masks" / name, made.mask.astype(np.uint8), made.affine)
        rows += [(f"{folder}/{name}", position, int(label)) for position, label in enumerate(made.labels())]
        if progress:
            progress(done, len(jobs))
    write_csv(out / "labels.csv", ("scan", "slice", "label"), rows)


def _place(kind: Kind, index: int, healthy: int, look: Look) -> tuple[str, str]:
    """(folder, file) of a scan."""
    end = ".mhd" if look.mhd and kind == "lung" else ".nii.gz"
    return "lesions" if index >= healthy else "healthy", f"{kind}_{index:04d}{end}"


def _check_others(out: Path, places: list[tuple[str, str]]) -> None:
    """Raises DataError where a scan or a mask lies in `out` that is not written anew: it would be taken for one of
    these."""
    own = {f"{folder}/{name.split('.')[0]}" for folder, name in places}
    own |= {name.replace("lesions", "masks") for name in own}
    there = (file for folder in ("healthy", "lesions", "masks") for file in sorted((out / folder).glob("*")))
    for file in there:
        if (
            not file.name.startswith(".")
            and file.name not in JUNK
            and f"{file.parent.name}/{file.name.split('.')[0]}" not in own
        ):
            raise DataError("is of another phantom, which this one is not to be mixed with", path=file, remedy=_NEW)


_NEW = "name an empty or a new folder"


def make_phantom(
    kind: Kind, index: int, seed: int, *, ill: bool, shape: Shape | None = None, noisy_air: bool = False
) -> Phantom:
    """One scan in memory. A healthy and an ill scan of the same index share their anatomy and noise; `shape` sets the
    voxels' size, the field stays. Some scans are stored right to left, back to front or upside down.

    `noisy_air`: the air around a brain keeps its noise instead of being 0. Raises ConfigError for a shape too small.
    """
    shape = SHAPE if shape is None else shape
    if min(shape) < 4:
        size = " x ".join(map(str, shape))
        raise ConfigError(f"a phantom of {size} voxels is too small", remedy="at least 4 per side")
    sequence = np.random.SeedSequence([seed, index, ("brain", "lung").index(kind)])
    *streams, storage = (np.random.default_rng(part) for part in sequence.spawn(4))
    grid, plans = Grid(shape, EXTENTS[kind]), plan(seed, index) if ill else []
    if kind == "brain":
        voxels, mask = brain.brain(grid, streams, plans, noisy_air)
    else:
        voxels, mask = chest.chest(grid, streams, plans)
    return _stored(voxels, mask, grid, storage)


def _stored(voxels: NDArray[np.int16], mask: NDArray[np.bool_], grid: Grid, rng: np.random.Generator) -> Phantom:
    """With axes reversed at random, and the patient somewhere near the scanner's centre."""
    affine = np.diag([*grid.spacing, 1.0])
    affine[:3, 3] = np.round(rng.uniform(-20, 20, 3)) - grid.spacing * (np.array(grid.shape) - 1) / 2
    flips = [axis for axis in range(3) if rng.random() < 0.5]
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Phantom(
        np.ascontiguousarray(np.flip(voxels, tuple(flips))), np.ascontiguousarray(np.flip(mask, tuple(flips))), affine
    )


def write_scan(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    """NIfTI or, by the name's ending .mhd, MetaImage (header and .raw beside it); the same bytes every time.

    Raises DataError where it cannot be written.
    """
    if path.suffix != ".mhd":
        write_nifti(path, voxels, affine)
        return
    with atomic_file(path.with_suffix(".raw")) as temporary:
        temporary.write_bytes(voxels.tobytes(order="F"))
    write_text(path, "".join(f"{key} = {value}\n" for key, value in _metaimage(path, voxels, affine).items()))


def _metaimage(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> dict[str, object]:
    """MetaImage counts millimetres to the left, back and top: LPS."""
    to_lps, spacing = np.diag([-1.0, -1.0, 1.0]), np.linalg.norm(affine[:3, :3], axis=0)

    def line(values: NDArray[np.float64]) -> str:
        return " ".join(f"{v + 0.0:.9g}" for v in values.ravel())

    return {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": line((to_lps @ affine[:3, :3] / spacing).T),
        "Offset": line(to_lps @ affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": line(spacing),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}[voxels.dtype.name],
        "ElementDataFile": path.with_suffix(".raw").name,
    }
