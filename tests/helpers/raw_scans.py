"""Scans whose voxels go up raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maescan.config import Preset
from maescan.method.preprocess import raw_slices
from maescan.method.raw import RawSlices
from maescan.scans import Scan


def scan_of(preset: Preset, side: int, slices: int, voxel: str = "int16", seed: int = 0) -> Scan:
    """A head in air, as a scanner writes it."""
    rng = np.random.default_rng(seed)
    at = np.mgrid[:side, : side + 6, :slices]
    inside = ((at[0] / side - 0.5) ** 2 + (at[1] / side - 0.5) ** 2) < 0.12
    voxels = np.where(inside, rng.integers(80, 160 + 20 * seed, at.shape[1:]), 0).astype(voxel)
    hu = preset.intensity.method == "hu"
    slope, intercept = (5.0, -1000.0) if hu else (1.0, 0.0)
    return Scan(voxels, slope, intercept, np.diag([1.0, 1.0, 3.0, 1.0]), "a", Path("a.nii"), "nifti")


def raw_of(preset: Preset) -> RawSlices:
    """Slices of three scans, of two sizes and three types of voxels, in an order of their own."""
    given = (41, 3, "uint8", 1), (57, 5, "uint16", 2), (41, 4, "int16", 3)
    parts = tuple(part for size in given for part in raw_slices(scan_of(preset, *size), preset).parts)
    return RawSlices(parts)[np.array([4, 5, 0, 2, 1, 3, 6, 11, 10, 7])]
