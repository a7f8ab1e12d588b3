"""Scans that are in memory already: nibabel's and SimpleITK's images, arrays with their affine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from maescan.decimals import counted
from maescan.errors import MaescanError, NoScanError, ScanError
from maescan.scans.geometry import LPS_TO_RAS, check_affine
from maescan.scans.nifti import affine_of, placement, unit_of
from maescan.scans.quiet import one_line
from maescan.scans.scan import Array, Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.voxels import KEPT, Voxels, check_finite

if TYPE_CHECKING:
    import SimpleITK
    from nibabel.nifti1 import Nifti1Pair

IN_MEMORY = Path("in memory")
GIVE = "give (voxels [X, Y, Z], affine [4, 4]), both numbers"


def as_scan(image: object, *, volume: int | None = None, accept: frozenset[str] = frozenset()) -> Scan | None:
    """The `Scan` of an image in memory: a `Scan`, (voxels [X, Y, Z], affine [4, 4] to RAS+ mm), or what nibabel or
    SimpleITK made. None for anything else, such as a path. volume, accept: as `read_scan` has them. Raises ScanError
    for what is no single volume of finite numbers."""
    try:
        return _scan_of(image, volume, accept)
    except MaescanError:
        raise
    except Exception as error:  # an image whose file has gone, an array that has no numbers
        reason = f"cannot be read: {type(error).__name__}: {one_line(error)}"
        raise ScanError(reason, path=IN_MEMORY, remedy=GIVE) from error


def _scan_of(image: object, volume: int | None, accept: frozenset[str]) -> Scan | None:
    if isinstance(image, Scan):
        return _checked(image)
    if isinstance(image, tuple) and len(image) == 2:
        return _Given(image[0], image[1]).scan(volume, accept)
    if hasattr(image, "dataobj") and hasattr(image, "affine"):
        return _of_nibabel(image).scan(volume, accept)
    if hasattr(image, "GetDirection") and hasattr(image, "GetSpacing"):
        return _of_itk(cast("SimpleITK.Image", image)).scan(volume, accept)
    return None


class _Given:
    """Voxels and affine as they were given, and what their image says beside them."""

    def __init__(self, voxels: object, affine: object) -> None:
        self.voxels, self.affine = np.asanyarray(voxels), _numbers(affine)
        self.scaling, self.notes = (1.0, 0.0), tuple[str, ...]()
        self.placed: dict[str, object] | None = None

    def scan(self, volume: int | None, accept: frozenset[str]) -> Scan:
        """Raises ScanError."""
        voxels = self.voxels
        if voxels.ndim < 3 or voxels.dtype.kind not in "iufb":
            reason = f"is an array of {counted(voxels.ndim, 'axis', 'axes')} of {voxels.dtype}"
            raise ScanError(reason, path=IN_MEMORY, remedy="give one volume of numbers, [X, Y, Z]")
        if isinstance(voxels, np.ma.MaskedArray) and np.ma.is_masked(voxels):
            raise ScanError("has masked voxels", path=IN_MEMORY, remedy="fill them: voxels.filled(0)")
        check_shape(voxels.shape[:3], IN_MEMORY)
        index = check_volume(check_shape(voxels.shape[3:] or (1,), IN_MEMORY), volume, IN_MEMORY)
        chosen = np.asarray(voxels).reshape(*voxels.shape[:3], -1, order="F")[..., index]
        notes = self.notes + check_affine(self.affine, IN_MEMORY, accept)
        kept, rounded = _kept(chosen)
        notes += rounded + (("all voxels are equal",) if check_finite(kept, IN_MEMORY) else ())
        return Scan(kept, *self.scaling, self.affine, str(IN_MEMORY), IN_MEMORY, "memory", notes, placed=self.placed)


def _checked(scan: Scan) -> Scan:
    """A `Scan` whose voxels or affine may be its user's: NaN in them would score as healthy. What it was read with
    was accepted then."""
    if not (np.isfinite([scan.slope, scan.intercept]).all() and scan.slope):
        reason = f"has a slope of {scan.slope} and an intercept of {scan.intercept}"
        raise ScanError(reason, path=IN_MEMORY, remedy="give finite ones, and no slope of 0")
    found = _Given(scan.voxels, scan.affine).scan(None, frozenset({"shear"}))
    return replace(scan, voxels=found.voxels, affine=found.affine)


def _kept(voxels: Array) -> tuple[Array, tuple[str, ...]]:
    """Voxels as a `Scan` has them, and what there is to say of it."""
    if voxels.dtype.name in KEPT and voxels.dtype.isnative:
        return voxels, ()
    made = Voxels.copy(np.ascontiguousarray(voxels))
    return made.array.reshape(voxels.shape), made.warnings(voxels.shape)


def _numbers(affine: object) -> NDArray[np.float64]:
    numbers = np.asarray(affine)
    if numbers.shape != (4, 4):
        raise ScanError(f"has an affine of {numbers.shape}", path=IN_MEMORY, remedy="give one of [4, 4]")
    made: NDArray[np.float64] = numbers.astype(np.float64, casting="same_kind")
    if np.isfinite(made).all() and not np.allclose(made[3], (0, 0, 0, 1)):
        row = ", ".join(f"{number:g}" for number in made[3])
        raise ScanError(f"its affine ends with {row}", path=IN_MEMORY, remedy="its last row is 0, 0, 0, 1")
    return made


def _of_nibabel(image: object) -> _Given:
    """NIfTI as from its file: stored voxels with their scale, units, and what is guessed of its place."""
    from nibabel.analyze import AnalyzeImage
    from nibabel.nifti1 import Nifti1Pair
    from nibabel.spatialimages import SpatialImage

    found = cast(SpatialImage, image)
    if not isinstance(found, Nifti1Pair):
        if isinstance(found, AnalyzeImage):
            remedy = "give (voxels, affine), and check which side is left"
            raise ScanError("is an Analyze image, which does not say left from right", path=IN_MEMORY, remedy=remedy)
        return _Given(found.dataobj, found.affine)
    return _of_nifti(found)


def _of_nifti(image: Nifti1Pair) -> _Given:
    from nibabel.arrayproxy import ArrayProxy

    header, stored, own = image.header.copy(), image.dataobj, image.affine
    best = header.get_best_affine()
    affine, notes = affine_of(header, IN_MEMORY)
    if own is not None and not np.array_equal(own, best):  # changed since
        affine, notes = own * np.array([[unit_of(header)]] * 3 + [[1.0]]), ()
    voxels = np.asanyarray(stored.get_unscaled() if isinstance(stored, ArrayProxy) else stored)
    given = _Given(voxels.reshape(voxels.shape + (1,) * (3 - voxels.ndim)), affine)
    given.notes = notes
    if isinstance(stored, ArrayProxy):
        given.scaling = float(stored.slope), float(stored.inter)
    given.placed = placement(header) if np.array_equal(best, affine) else None
    return given


def _of_itk(image: SimpleITK.Image) -> _Given:
    """SimpleITK counts in LPS, and z first."""
    from SimpleITK import GetArrayFromImage

    axes, values = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if "label" in image.GetPixelIDTypeAsString():  # whose array ends the process
        remedy = "give the image that it belongs to"
        raise NoScanError("is a label map", path=IN_MEMORY, remedy=remedy)
    if axes not in (3, 4) or values != 1:
        remedy = "give one volume of numbers"
        raise ScanError(f"has {axes} dimensions of {values} values", path=IN_MEMORY, remedy=remedy)
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(axes, axes) * np.array(image.GetSpacing()))[:3, :3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return _Given(GetArrayFromImage(image).T, LPS_TO_RAS @ affine)
