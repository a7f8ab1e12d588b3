"""NIfTI-1 and -2, single files and .hdr/.img pairs, plain or gzipped. nibabel reads the header; the voxels go
straight from the (de)compressor into their array."""

from __future__ import annotations

import math
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maescan.errors import ScanError
from maescan.scans.geometry import Affine, check_affine
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.streams import open_inflated, read_voxels
from maescan.scans.voxels import Voxels, check_finite

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header as Header

REFUSED = {
    1: "bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}
TURNED = 2.0
"""Degrees between qform and sform that count as rounding."""
PLACED = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
          "srow_x", "srow_y", "srow_z", "xyzt_units")  # fmt: skip
IMAGES = (".img", ".img.gz", ".img.bz2", ".img.zst")
PACKED = ("", ".gz", ".bz2", ".zst")
MAP, MAP_KEY = "anomaly", "maescan "
"""intent_name of the maps that maescan writes, and how their aux_file begins."""
UNITS = {1: 1000.0, 3: 0.001}  # metres and micrometres, in mm


def read_nifti(path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()) -> Scan:
    """The NIfTI file at `path` (for a pair, its .hdr). Raises ScanError."""
    header = _header(path)
    image = _image(path, header)
    shape, before = _volume(header, path, volume)
    check_shape(shape, path)
    affine, warnings = affine_of(header, path)
    warnings += check_affine(affine, path, accept)
    slope, intercept = _scaling(header, path)
    voxels = _voxels(image, header, shape, before)
    array = voxels.array.reshape(shape, order="F")
    warnings += voxels.warnings(shape) + (("all voxels are equal",) if check_finite(array, path) else ())
    placed = placement(header) if np.array_equal(header.get_best_affine(), affine) else None
    return Scan(array, slope, intercept, affine, name, path, "nifti", warnings, placed=placed)


def placement(header: Header) -> dict[str, object]:
    """The fields of a header that say where voxels lie."""
    found: dict[str, object] = {name: np.asarray(header[name]).tolist() for name in PLACED}
    return found | {"pixdim": header["pixdim"][:4].tolist()}


def is_map(path: Path) -> bool:
    """Whether a file is a map that maescan wrote, by its header; what is wrong with one is said when it is read."""
    try:
        with open_inflated(path) as stream:
            start = stream.read(348)
    except ScanError:
        return False
    return start[328:344].rstrip(b"\0") == MAP.encode() and start[228:].startswith(MAP_KEY.encode())


def _header(path: Path) -> Header:
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
            return kind(start[:size], check=False)  # type: ignore[no-untyped-call]
    raise ScanError("is not a NIfTI file", path=path, remedy="check its name and where it comes from")


def image_of(path: Path) -> tuple[Path, ...]:
    """The file beside a .hdr that holds its voxels, in any spelling of its ending; nothing where there is none."""
    stem, dot, packed = path.name.lower().rpartition(".hdr")
    if not dot or packed not in PACKED:
        return ()
    named = {path.name[: len(stem)] + end for end in IMAGES}
    there = _spelled(path.parent)
    beside = [file for end in IMAGES for file in there.get(stem + end, ())]
    others = {file[: len(stem)] for file in there.get(path.name.lower(), ()) if file != path.name}
    beside = [file for file in beside if file[: len(stem)] not in others]  # it has a header of its own
    beside.sort(key=lambda file: (file[: len(stem)] != path.name[: len(stem)], file not in named, file))
    return tuple(path.with_name(file) for file in beside)[:1]


RESTED = 2 * 10**9
"""Nanoseconds after which a change of a folder shows in its time: file systems count these in up to two seconds."""


def _spelled(folder: Path) -> dict[str, list[str]]:
    """What lies in a folder, by its name in small letters; listed once for all pairs in it, as long as nothing
    changes there."""
    try:
        changed = folder.stat().st_mtime_ns
        at_rest = changed < time.time_ns() - RESTED
        return (_listed if at_rest else _listed.__wrapped__)(str(folder), changed)
    except OSError:
        return {}


@lru_cache(maxsize=2)
def _listed(folder: str, _changed: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        found.setdefault(name.lower(), []).append(name)
    return found


def _image(path: Path, header: Header) -> Path:
    if bytes(header["magic"])[:2] == b"n+":
        return path
    if images := image_of(path):
        return images[0]
    raise ScanError("is half of a pair: its .img is missing", path=path, remedy="put the .img beside its .hdr")


def _volume(header: Header, path: Path, volume: int | None) -> tuple[tuple[int, int, int], int]:
    """Shape of one volume, and how many voxels lie before it. Trailing dimensions of 1 do not count."""
    dims = [int(n) for n in header["dim"]]
    rank = dims[0]
    if not 1 <= rank <= 7:
        raise ScanError(f"has {rank} dimensions", path=path, remedy="the header is damaged")
    shape = (*dims[1 : rank + 1], 1, 1)[: max(rank, 3)]
    count = check_shape(shape[3:], path) if rank > 3 else 1
    index = check_volume(count, volume, path)
    return (shape[0], shape[1], shape[2]), index * math.prod(shape[:3])


def affine_of(header: Header, path: Path) -> tuple[Affine, tuple[str, ...]]:
    """Voxel to RAS mm: sform, else qform, else a guess; and what was guessed, or passed over."""
    notes: tuple[str, ...] = ()
    if (header["pixdim"][1:4] < 0).any():
        header["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
        notes += ("has negative pixdim: its sign was left out",)
    sform = np.asarray(header.get_sform(), np.float64) if header["sform_code"] > 0 else None
    if sform is not None and not sform[:3, :3].any() and header["qform_code"] > 0:
        notes, sform = (*notes, "its sform is all 0: its qform was taken"), None
    qform = _qform(header, path, needed=sform is None) if header["qform_code"] > 0 else None
    affine = sform if sform is not None else qform
    if affine is None:
        affine = np.asarray(header.get_base_affine(), np.float64)
        notes += ("has no orientation (qform and sform are 0): taken as LAS, left and right are a guess",)
    elif sform is not None and qform is not None and (text := _difference(sform, qform)):
        notes += (f"its qform and sform differ ({text}): its sform was taken",)
    affine = affine.copy()
    affine[:3] *= unit_of(header)
    return affine, notes


def unit_of(header: Header) -> float:
    """Millimetres in the unit of a header."""
    return UNITS.get(int(header["xyzt_units"]) & 7, 1.0)


def _qform(header: Header, path: Path, *, needed: bool) -> Affine | None:
    """Raises ScanError for one that is no rotation, where it is needed."""
    from nibabel.spatialimages import HeaderDataError

    if header["pixdim"][0] == 0:  # which stands for 1
        header["pixdim"][0] = 1
    try:
        return np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        if not needed:
            return None
        quaternion = ", ".join(f"{float(header['quatern_' + part]):.3g}" for part in "bcd")
        reason = f"its qform is no rotation (quaternion {quaternion})"
        raise ScanError(reason, path=path, remedy="repair the header") from error


def _difference(sform: Affine, qform: Affine) -> str:
    """How two affines differ, apart from where they begin; '' where they do not, or by rounding."""
    if not (np.isfinite(sform).all() and np.isfinite(qform).all()):
        return ""
    sizes, others = (np.linalg.norm(affine[:3, :3], axis=0) for affine in (sform, qform))
    if not np.allclose(sizes, others, rtol=0.02):
        return "in spacing"
    cosines = ((sform[:3, :3] / sizes) * (qform[:3, :3] / others)).sum(0) if sizes.all() else np.ones(3)
    degrees = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    return f"by {degrees:.0f} degrees" if degrees > TURNED else ""


def _scaling(header: Header, path: Path) -> tuple[float, float]:
    """Slope and intercept; slope 0 or NaN means that voxels are the values."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise ScanError(f"has the intercept {intercept}", path=path, remedy="repair scl_inter in the header")
    return slope, intercept


def _voxels(image: Path, header: Header, shape: tuple[int, int, int], before: int) -> Voxels:
    """The voxels of one volume, `before` voxels into the data."""
    dtype, offset = _dtype(header, image), _offset(header, image)
    dims = [int(n) for n in header["dim"]]
    end = offset + math.prod(dims[1 : dims[0] + 1]) * dtype.itemsize
    return read_voxels(image, dtype, math.prod(shape), offset + before * dtype.itemsize, end)


def _dtype(header: Header, path: Path) -> np.dtype:
    code = int(header["datatype"])
    if code in REFUSED:
        raise ScanError(f"holds {REFUSED[code]}", path=path, remedy="convert it to one real number per voxel")
    try:
        return np.dtype(header.get_data_dtype())
    except Exception as error:
        raise ScanError(f"has the unknown data type {code}", path=path, remedy="the header is damaged") from error


def _offset(header: Header, path: Path) -> int:
    offset, least = float(header["vox_offset"]), 0
    if bytes(header["magic"])[:2] == b"n+":
        least = int(header["sizeof_hdr"]) + 4
        offset = offset or least
    if not least <= offset < 2**31:
        raise ScanError(f"has its data at byte {offset:g}", path=path, remedy="the header is damaged")
    return int(offset)
