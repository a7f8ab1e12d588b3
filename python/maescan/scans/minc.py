"""MINC volumes (.mnc; 1: netCDF, 2: HDF5) to `Scan`, by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maescan.decimals import counted
from maescan.errors import ScanError, quoted
from maescan.scans.geometry import check_affine
from maescan.scans.hdf5 import kept_elsewhere
from maescan.scans.quiet import one_line
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.streams import open_plain
from maescan.scans.voxels import check_finite

MAGIC = {b"CDF": "Minc1Image", b"\x89HD": "Minc2Image"}


def read_minc(path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()) -> Scan:
    """The MINC volume at `path`, in the units of the measurement. Raises ScanError."""
    with open_plain(path) as stream:
        kind = MAGIC.get(stream.read(3))
    if kind is None:
        raise ScanError("is not a MINC volume", path=path, remedy="check its name and where it comes from")
    image = _image(path, kind)
    shape = tuple(int(n) for n in image.shape)
    if len(shape) not in (3, 4):
        raise ScanError(f"has {counted(len(shape), 'axis', 'axes')}", path=path, remedy="a scan has three")
    check_shape(shape[-3:], path)
    index = check_volume(shape[0] if len(shape) == 4 else 1, volume, path)
    affine = np.asarray(image.affine, np.float64)
    warnings = check_affine(affine, path, accept)
    array = np.empty(shape[-3:], np.float32)
    for place in range(len(array)):  # scaled in float64: a slice at a time
        array[place] = image.dataobj[(place,) if len(shape) == 3 else (index, place)]
    warnings += ("all voxels are equal",) if check_finite(array, path) else ()
    return Scan(array, 1.0, 0.0, affine, name, path, "minc", warnings)


def _image(path: Path, kind: str) -> Any:
    import nibabel

    try:
        if kind == "Minc2Image":
            _check_whole(path)
        return getattr(nibabel, kind).from_filename(path)
    except ScanError:
        raise
    except ImportError as error:
        raise ScanError("is MINC 2 and needs h5py to be read", path=path, remedy="pip install h5py") from error
    except Exception as error:  # whatever netCDF and HDF5 say of damage
        reason = f"is a damaged MINC volume: {one_line(error)}"
        raise ScanError(reason, path=path, remedy="copy it again from its source") from error


def _check_whole(path: Path) -> None:
    """Raises ScanError where part of an HDF5 file lies in another one."""
    import h5py

    with h5py.File(path, "r") as stream:
        if part := kept_elsewhere(stream):
            raise ScanError(f"keeps {quoted(part)} in another file", path=path, remedy="write it as one file")
