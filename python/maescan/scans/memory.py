"""Scans that are in memory already: nibabel's and SimpleITK's images, arrays with their affine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ScanError
from maescan.scans.geometry import check_affine
from maescan.scans.scan import Array, Scan
from maescan.scans.sizes import check_shape
from maescan.scans.voxels import check_finite

if TYPE_CHECKING:
    import SimpleITK

IN_MEMORY = Path("in memory")


def as_scan(image: object) -> Scan | None:
    """The `Scan` of an image in memory: (voxels [X, Y, Z], affine [4, 4] to RAS+ mm), or what nibabel or SimpleITK
    made. None for anything else, such as a path. Raises ScanError for what is no single volume of finite numbers."""
    if isinstance(image, tuple) and len(image) == 2:
        return _scan(np.asarray(image[0]), np.asarray(image[1], np.float64))
    if hasattr(image, "dataobj") and hasattr(image, "affine"):  # nibabel
        return _scan(np.asanyarray(image.dataobj), np.asarray(image.affine, np.float64))
    if hasattr(image, "GetDirection") and hasattr(image, "GetSpacing"):  # SimpleITK, which counts in LPS
        found = cast("SimpleITK.Image", image)
        return _scan(_itk_voxels(found), _itk_affine(found))
    return None


def _scan(voxels: Array, affine: NDArray[np.float64]) -> Scan:
    if voxels.ndim != 3 or voxels.dtype.kind not in "iufb":
        reason = f"is an array of {voxels.ndim} axes of {voxels.dtype}"
        raise ScanError(reason, path=IN_MEMORY, remedy="give one volume of numbers, [X, Y, Z]")
    if affine.shape != (4, 4):
        raise ScanError(f"has an affine of {affine.shape}", path=IN_MEMORY, remedy="give one of [4, 4]")
    check_shape(voxels.shape, IN_MEMORY)
    kept = voxels if voxels.dtype in (np.int16, np.uint16, np.uint8, np.float32) else voxels.astype(np.float32)
    warnings = check_affine(affine, IN_MEMORY, frozenset())
    warnings += ("all voxels are equal",) if check_finite(kept, IN_MEMORY) else ()
    return Scan(kept, 1.0, 0.0, affine, str(IN_MEMORY), IN_MEMORY, "memory", warnings)


def _itk_voxels(image: SimpleITK.Image) -> Array:
    from SimpleITK import GetArrayFromImage

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        reason = f"has {image.GetDimension()} dimensions of {image.GetNumberOfComponentsPerPixel()} values"
        raise ScanError(reason, path=IN_MEMORY, remedy="give one volume of numbers")
    voxels: Array = GetArrayFromImage(image).transpose(2, 1, 0)
    return voxels


def _itk_affine(image: SimpleITK.Image) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
