"""FreeSurfer volumes (.mgh, .mgz) to `Scan`. nibabel reads the header."""

from __future__ import annotations

import math
from pathlib import Path

from maescan.errors import ScanError
from maescan.scans.geometry import check_affine
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.streams import open_inflated, read_voxels
from maescan.scans.voxels import check_finite

HEADER, DATA = 90, 284
"""Bytes of the header that say something; the byte at which voxels begin."""
ORIENTED = slice(28, 30)
"""Bytes of the flag that says whether the header knows where the axes point."""
FREESURFER = ((-1, 0, 0), (0, 0, -1), (0, 1, 0))
"""The axes that FreeSurfer takes where the header does not say: LIA."""
UNORIENTED = "has no orientation: taken as LIA, left and right are a guess"


def read_mgh(path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()) -> Scan:
    """The FreeSurfer volume at `path`. Raises ScanError."""
    from nibabel.freesurfer.mghformat import MGHHeader

    with open_inflated(path) as stream:
        start = stream.read(DATA)
    if len(start) < DATA or start[:4] != b"\0\0\0\1":
        raise ScanError("is not a FreeSurfer volume", path=path, remedy="check its name and where it comes from")
    try:
        header = MGHHeader(start[:HEADER], check=False)
        oriented = start[ORIENTED] == b"\0\1"
        if not oriented:
            header["Mdc"] = FREESURFER
        dtype, affine = header.get_data_dtype().newbyteorder(">"), header.get_affine()
    except Exception as error:  # nibabel has several types for a code that it does not know
        raise ScanError("has a damaged header", path=path, remedy="copy it again from its source") from error
    dims = [int(n) for n in header["dims"]]
    check_shape(dims[:3], path)
    frames = check_shape(dims[3:], path)
    index = check_volume(frames, volume, path)
    warnings: tuple[str, ...] = () if oriented else (UNORIENTED,)
    warnings += check_affine(affine, path, accept)
    size = math.prod(dims[:3])
    end = DATA + size * frames * dtype.itemsize
    voxels = read_voxels(path, dtype, size, DATA + index * size * dtype.itemsize, end)
    voxels.rest = 0  # the format has tags of its own behind them
    array = voxels.array.reshape(dims[:3], order="F")
    warnings += voxels.warnings(dims) + (("all voxels are equal",) if check_finite(array, path) else ())
    return Scan(array, 1.0, 0.0, affine, name, path, "mgh", warnings)
