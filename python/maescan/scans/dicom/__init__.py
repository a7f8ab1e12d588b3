"""DICOM series and enhanced images to `Scan`, by pydicom and its decoder plug-ins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import ScanError
from maescan.scans.budget import check_memory
from maescan.scans.dicom.image import DicomImage, Frame, is_localizer, read_frames
from maescan.scans.dicom.pixels import decode
from maescan.scans.dicom.stack import stack
from maescan.scans.geometry import check_affine
from maescan.scans.scan import Scan
from maescan.scans.sizes import check_shape, check_volume
from maescan.scans.voxels import check_finite

SAME_PLANE = 1e-3
META = ("Modality", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID", "SeriesDescription", "Manufacturer")


def read_dicom(
    files: Sequence[Path], path: Path, name: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Scan:
    """The scan in the files of one series (see `find_series`). Raises ScanError."""
    if not importlib.util.find_spec("pydicom"):
        raise ScanError("needs pydicom to be read", path=path, remedy="pip install 'maescan[dicom]'")
    frames = [frame for file in files for frame in read_frames(file)]
    if is_localizer(frames[0].image.header) and "localizer" not in accept:
        raise ScanError("is a localizer, not a scan", path=path, remedy="leave it out, or accept 'localizer'")
    frames = _volume(frames, path, volume)
    _check_alike(frames, path)
    ordered = stack(frames, path, accept)
    first = frames[0].image
    voxels = check_shape((first.columns, first.rows, ordered.slices), path)
    check_memory(4 * voxels, f"{voxels} voxels", path)
    warnings = ordered.warnings + check_affine(ordered.affine, path, accept)
    array, slope, inter, told = decode(ordered, path)
    warnings += told + (("all voxels are equal",) if check_finite(array, path) else ())
    return Scan(array.transpose(2, 1, 0), slope, inter, ordered.affine, name, path, "dicom", warnings, _meta(first))


def _volume(frames: list[Frame], path: Path, volume: int | None) -> list[Frame]:
    """The frames of one volume of an enhanced image."""
    volumes = {frame.volume: [f for f in frames if f.volume == frame.volume] for frame in frames}
    return list(volumes.values())[check_volume(len(volumes), volume, path)]


def _check_alike(frames: list[Frame], path: Path) -> None:
    first = frames[0]
    for frame in frames:
        same = (frame.image.rows, frame.image.columns) == (first.image.rows, first.image.columns)
        same &= np.allclose(frame.spacing, first.spacing, rtol=1e-3)
        if not same or not np.allclose(frame.plane, first.plane, rtol=0, atol=2 * SAME_PLANE):
            reason = f"{frame.image.file.name} differs from the others in size, spacing or orientation"
            raise ScanError(reason, path=path, remedy="remove it from the series")


def _meta(image: DicomImage) -> dict[str, Any]:
    """Provenance, without anything that names the patient."""
    meta = {tag: str(image.header.get(tag)) for tag in META if image.header.get(tag) not in (None, "")}
    syntax = getattr(image.header, "file_meta", {}).get("TransferSyntaxUID")
    return {**meta, "TransferSyntax": syntax.name if syntax else "unknown"}
