"""Phantoms in the shape of the public data sets: what reads those can be tried without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maescan.datasets.phantom import Shape, make_phantom, write_scan
from maescan.scans.scan import axial_axes

BRATS_SHAPE: Shape = (48, 48, 12)


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
