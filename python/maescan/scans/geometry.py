"""Affines that can be trusted, and what to say of those that can only half be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ScanError
from maescan.scans.scan import obliquity

SHEAR = 0.01
"""Largest cosine between storage axes that counts as rounding (0.6 degrees)."""
OBLIQUE = 20.0
SPACING = (0.01, 100.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Affine = NDArray[np.float64]


def check_affine(affine: Affine, path: Path, accept: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Warnings about an affine [4, 4]. Raises ScanError for NaN, singular, implausible or sheared ones."""
    if not np.isfinite(affine).all():
        raise ScanError("its affine has NaN or infinite entries", path=path, remedy="repair the header")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((spacing > SPACING[0]) & (spacing < SPACING[1])).all():
        text = " x ".join(f"{s:.4g}" for s in spacing)
        raise ScanError(
            f"voxels of {text} mm are no scan's", path=path, remedy="repair spacing or units in the header"
        )
    axes = affine[:3, :3] / spacing
    if abs(np.linalg.det(axes)) < 0.1:
        raise ScanError("its affine is singular: two axes point the same way", path=path, remedy="repair the header")
    return _shear(axes, path, accept) + _oblique(affine)


def _shear(axes: Affine, path: Path, accept: frozenset[str]) -> tuple[str, ...]:
    cosine = np.abs(axes.T @ axes - np.eye(3)).max()
    if cosine < SHEAR:
        return ()
    degrees = np.degrees(np.arcsin(min(1.0, cosine)))
    reason = f"its axes are sheared by {degrees:.1f} degrees"
    if accept.isdisjoint({"shear", "tilt"}):
        raise ScanError(reason, path=path, remedy="resample it to right angles, or --accept shear")
    return (reason,)


def _oblique(affine: Affine) -> tuple[str, ...]:
    degrees = obliquity(affine)
    return (f"oblique: slices are {degrees:.0f} degrees off axial",) if degrees > OBLIQUE else ()
