"""NIfTI-1 and -2, single files and .hdr/.img pairs, plain or gzipped. nibabel reads the header; the voxels go
straight from the (de)compressor into their array."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import ScanError
from maescan.scans.geometry import Affine, check_affine
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape
from maescan.scans.streams import open_inflated, read_voxels
from maescan.scans.voxels import Voxels, check_finite

REFUSED = {
    1: "bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}
UNITS = {1: 1000.0, 3: 0.001}  # metres and micrometres, in mm


def read_nifti(path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()) -> Scan:
    """The NIfTI file at `path` (for a pair, its .hdr). Raises ScanError."""
    header = _header(path)
    image = _image(path, header)
    shape, before = _volume(header, path, volume)
    check_shape(shape, path)
    affine, warnings = _affine(header)
    warnings += check_affine(affine, path, accept)
    slope, inter = _scaling(header, path)
    voxels = _voxels(image, header, shape, before)
    array = voxels.array.reshape(shape, order="F")
    warnings += voxels.warnings + (("all voxels are equal",) if check_finite(array, path) else ())
    return Scan(array, slope, inter, affine, name, path, "nifti", warnings)


def _header(path: Path) -> Any:
    import nibabel

    with open_inflated(path) as stream:
        start = stream.read(540)
    if not start:
        raise ScanError("is empty", path=path, remedy="copy it again from its source")
    for kind, size, magic in ((nibabel.Nifti1Header, 348, (344, 348)), (nibabel.Nifti2Header, 540, (4, 8))):
        if len(start) >= size and size in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
            if start[slice(*magic)][:3] not in (b"n+1", b"ni1", b"n+2", b"ni2"):
                remedy = "convert it to NIfTI, and check which side is left"
                raise ScanError("is an Analyze file, which does not say left from right", path=path, remedy=remedy)
            return kind(start[:size], check=False)
    raise ScanError("is not a NIfTI file", path=path, remedy="check its name and where it comes from")


def image_of(path: Path) -> tuple[Path, ...]:
    """The file beside a .hdr that holds its voxels; nothing where there is none."""
    name = path.name.removesuffix(".gz").removesuffix(".hdr")
    images = [path.with_name(name + end) for end in (".img", ".img.gz")] if ".hdr" in path.name else []
    return tuple(image for image in images if image.exists())[:1]


def _image(path: Path, header: Any) -> Path:
    if bytes(header["magic"])[:2] == b"n+":
        return path
    if images := image_of(path):
        return images[0]
    raise ScanError("is half of a pair: its .img is missing", path=path, remedy="put the .img beside its .hdr")


def _volume(header: Any, path: Path, volume: int | None) -> tuple[tuple[int, int, int], int]:
    """Shape of one volume, and how many voxels lie before it. Trailing dimensions of 1 do not count."""
    dims = [int(n) for n in header["dim"]]
    rank = dims[0]
    if not 1 <= rank <= 7:
        raise ScanError(f"has {rank} dimensions", path=path, remedy="the header is damaged")
    shape = (*dims[1 : rank + 1], 1, 1)[: max(rank, 3)]
    count = check_shape(shape[3:], path) if rank > 3 else 1
    index = check_volume(count, volume, path)
    return (shape[0], shape[1], shape[2]), index * math.prod(shape[:3])


def check_volume(count: int, volume: int | None, path: Path) -> int:
    """The index of the volume to read. Raises ScanError where there are several and none was chosen."""
    if volume is None and count > 1:
        raise ScanError(f"holds {count} volumes", path=path, remedy=f"choose one with volume 0 to {count - 1}")
    if volume is not None and not 0 <= volume < count:
        raise ScanError(f"has no volume {volume}", path=path, remedy=f"it holds {count}, counted from 0")
    return volume or 0


def _affine(header: Any) -> tuple[Affine, tuple[str, ...]]:
    from nibabel.spatialimages import HeaderDataError

    warnings: tuple[str, ...] = ()
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        affine = np.full((4, 4), np.nan)
    if not header["sform_code"] > 0 and not header["qform_code"] > 0:
        warnings += ("has no orientation (qform and sform are 0): taken as LAS, left and right are a guess",)
    factor = UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
    affine[:3] *= factor
    return affine, warnings


def _scaling(header: Any, path: Path) -> tuple[float, float]:
    """Slope and intercept; slope 0 or NaN means that voxels are the values."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise ScanError(f"has the intercept {inter}", path=path, remedy="repair scl_inter in the header")
    return slope, inter


def _voxels(image: Path, header: Any, shape: tuple[int, int, int], before: int) -> Voxels:
    """The voxels of one volume, `before` voxels into the data."""
    dtype, offset = _dtype(header, image), _offset(header, image)
    dims = [int(n) for n in header["dim"]]
    end = offset + math.prod(dims[1 : dims[0] + 1]) * dtype.itemsize
    return read_voxels(image, dtype, math.prod(shape), offset + before * dtype.itemsize, end)


def _dtype(header: Any, path: Path) -> np.dtype:
    code = int(header["datatype"])
    if code in REFUSED:
        raise ScanError(f"holds {REFUSED[code]}", path=path, remedy="convert it to one real number a voxel")
    try:
        return np.dtype(header.get_data_dtype())
    except Exception as error:
        raise ScanError(f"has the unknown data type {code}", path=path, remedy="the header is damaged") from error


def _offset(header: Any, path: Path) -> int:
    offset, least = float(header["vox_offset"]), 0
    if bytes(header["magic"])[:2] == b"n+":
        least = int(header["sizeof_hdr"]) + 4
        offset = offset or least
    if not least <= offset < 2**31:
        raise ScanError(f"has its data at byte {offset:g}", path=path, remedy="the header is damaged")
    return int(offset)
