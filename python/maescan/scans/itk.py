"""MetaImage (.mhd, .mha) and NRRD (.nrrd, .nhdr) to `Scan`, by SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import ScanError
from maescan.scans.geometry import LPS_TO_RAS, Affine, check_affine
from maescan.scans.itk_header import ItkHeader, read_itk_header
from maescan.scans.nifti import check_volume
from maescan.scans.quiet import words
from maescan.scans.scan import Scan
from maescan.scans.voxels import Voxels, check_finite

UNORIENTED = "has no orientation: taken as LPS, left and right are a guess"


def read_itk(
    path: Path, name: str, format: str, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Scan:
    """The scan whose header is at `path`. Raises ScanError."""
    header = read_itk_header(path)
    header.check()
    index = check_volume(header.volumes, volume, path)
    try:
        image = _read(header, index)
    except RuntimeError as error:
        reason = f"SimpleITK cannot read it: {_said(error)}"
        raise ScanError(reason, path=path, remedy="it is damaged: copy it again from its source") from error
    affine = _affine(image)
    warnings: tuple[str, ...] = () if header.oriented else (UNORIENTED,)
    warnings += check_affine(affine, path, accept)
    voxels = _voxels(image)
    array = voxels.array.reshape(image.GetSize()[::-1]).transpose(2, 1, 0)
    warnings += voxels.warnings + (("all voxels are equal",) if check_finite(array, path) else ())
    return Scan(array, 1.0, 0.0, affine, name, path, format, warnings)


def _said(error: RuntimeError) -> str:
    """The reason in an ITK error, without source lines and addresses."""
    text = re.sub(r"\w+\((0x)?[0-9a-f]+\):", "", str(error).split("ITK ERROR:")[-1])
    return words(RuntimeError(text.split("[nrrd]")[-1].split("Reason:")[0]))


def data_file_of(path: Path) -> tuple[Path, ...]:
    """The file beside a header that holds its voxels; nothing where they follow the header, or it is damaged."""
    try:
        data = read_itk_header(path).data
    except ScanError:
        return ()
    return () if data == path or not data.exists() else (data,)


def _read(header: ItkHeader, volume: int) -> Any:
    try:
        import SimpleITK as sitk
    except ImportError as error:
        remedy = "pip install 'maescan[dicom]'"
        raise ScanError("needs SimpleITK to be read", path=header.path, remedy=remedy) from error
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(header.path))
    reader.SetImageIO("NrrdImageIO" if header.nrrd else "MetaImageIO")
    reader.ReadImageInformation()
    size = list(reader.GetSize())
    if tuple(size) != header.shape or reader.GetNumberOfComponents() != 1:
        reason = f"is read as {size}, its header says {list(header.shape)}"
        raise ScanError(reason, path=header.path, remedy="the header is damaged")
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
        reader.SetExtractIndex([0, 0, 0, *(int(i) for i in np.unravel_index(volume, size[3:], "F"))])
    return reader.Execute()


def _voxels(image: Any) -> Voxels:
    import SimpleITK as sitk

    return Voxels.copy(sitk.GetArrayViewFromImage(image))


def _affine(image: Any) -> Affine:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine
