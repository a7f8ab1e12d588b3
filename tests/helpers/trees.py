"""Phantoms in the shape of the public data sets: what reads those can be tried without them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.phantom import Phantom, Shape, make_phantom, write_scan
from maescan.files import write_csv
from maescan.scans.scan import axial_axes

BRATS_SHAPE: Shape = (48, 48, 12)
LUNG_SHAPE: Shape = (96, 96, 12)


def _ill(number: int) -> bool:
    """Two patients of three have lesions."""
    return number % 3 != 0


def write_brats_tree(out: Path, *, patients: int, seed: int = 0, shape: Shape = BRATS_SHAPE) -> None:
    """BraTS2020's NIfTI release: OUT/BraTS20_Training_NNN/..._{t1,flair,seg}.nii.gz; flair is t1 reversed."""
    for number in range(1, patients + 1):
        made = make_phantom("brain", number, seed, ill=_ill(number), shape=shape)
        name = f"BraTS20_Training_{number:03}"
        seg = np.where(made.mask, 4, 0).astype(np.uint8)
        inside = made.voxels > 0
        flair = np.where(inside, made.voxels.max() + 1 - made.voxels, 0).astype(np.int16)
        for suffix, voxels in (("t1", made.voxels), ("flair", flair), ("seg", seg)):
            write_scan(out / name / f"{name}_{suffix}.nii.gz", voxels, made.affine)


def write_hdf5_tree(out: Path, *, patients: int, seed: int = 0, shape: Shape = BRATS_SHAPE) -> None:
    """BraTS2020's HDF5 edition: OUT/volume_V_slice_S.h5, standardised over all voxels, channel 0 the phantom, the
    others zero."""
    import h5py

    out.mkdir(parents=True, exist_ok=True)
    for number in range(1, patients + 1):
        made = make_phantom("brain", number, seed, ill=_ill(number), shape=shape)
        voxels, mask = (axial_axes(made.affine).to_axial(array) for array in (made.voxels, made.mask))
        values = (voxels - voxels.mean()) / voxels.std()
        for level in range(len(values)):
            image, classes = np.zeros((*values.shape[:0:-1], 4)), np.zeros((*values.shape[:0:-1], 3), np.uint8)
            image[..., 0], classes[..., 1] = values[level].T, mask[level].T  # rows to columns: [X, Y]
            with h5py.File(out / f"volume_{number}_slice_{level}.h5", "w") as stream:
                stream["image"], stream["mask"] = image, classes


def write_luna16_tree(
    out: Path,
    *,
    patients: int,
    seed: int = 0,
    normals: int = 8,
    shape: Shape = LUNG_SHAPE,
    table: str = "candidates.csv",
) -> None:
    """LUNA16: OUT/subset0/UID.mhd and .raw, OUT/candidates.csv with the lesions of every CT and `normals` places
    where there is none, in millimetres to the left, back and top."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(patients):
        made = make_phantom("lung", number, seed, ill=_ill(number), shape=shape)
        series = f"1.2.826.0.1.{seed}.{number}"
        write_scan(out / "subset0" / f"{series}.mhd", made.voxels, made.affine)
        for value, voxel in [(1, v) for v in _middles(made)] + [(0, v) for v in _elsewhere(made, normals, rng)]:
            place = (made.affine @ [*voxel, 1])[:3] * [-1, -1, 1]
            rows.append((series, *(f"{x:.4f}" for x in place), value))
    write_csv(out / table, ("seriesuid", "coordX", "coordY", "coordZ", "class"), rows)


def _middles(made: Phantom) -> NDArray[np.int64]:
    """A voxel [n, 3] of the lesions in each slice that has one: the nearest to their middle there."""
    found = []
    for level in np.flatnonzero(made.mask.any(axis=(0, 1))):
        spots = np.argwhere(made.mask[:, :, level])
        nearest = np.linalg.norm(spots - spots.mean(axis=0), axis=1).argmin()
        found.append((*spots[nearest], level))
    return np.array(found, np.int64).reshape(-1, 3)


def _elsewhere(made: Phantom, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Voxels [count, 3] of the body, in slices without a lesion."""
    free = (made.voxels > -900) & ~made.mask.any(axis=(0, 1))
    spots = np.argwhere(free)
    return spots[rng.choice(len(spots), count, replace=False)]


def write_candidates_tree(
    root: Path,
    voxels: NDArray[np.int16],
    affine: NDArray[np.float64],
    places: Iterable[tuple[float, ...]],
    table: str = "candidates.csv",
) -> Path:
    """One CT, with candidates at `places` (LPS mm, class)."""
    write_scan(root / "subset3" / "1.2.3.mhd", voxels, affine)
    lines = ["seriesuid,coordX,coordY,coordZ,class", *(",".join(map(str, ("1.2.3", *place))) for place in places)]
    (root / table).write_text("\n".join(lines) + "\n")
    return root


def bright_voxel(voxel: Shape, shape: Shape = (100, 90, 6)) -> NDArray[np.int16]:
    voxels = np.full(shape, -1000, np.int16)
    voxels[voxel] = 2000
    return voxels
