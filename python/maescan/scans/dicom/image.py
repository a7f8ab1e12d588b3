"""The header of one DICOM file as frames in space, with what their numbers mean; unusual content is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import ScanError
from maescan.scans.dicom.file import read_header
from maescan.scans.quiet import words
from maescan.scans.sizes import check_frames, check_length, check_shape

GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "StackID": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "FrameType": "MRImageFrameTypeSequence",
}
"""The functional group that holds a value of an enhanced image's frame."""
SCALARS = ("SliceThickness", "RescaleSlope", "RescaleIntercept")
VOLUMES = ("StackID", "TemporalPositionIndex", "EffectiveEchoTime", "DiffusionBValue", "FrameType")
SIZES = (("Rows", 0), ("Columns", 0), ("NumberOfFrames", 1))
BOMB_RATIO, BOMB_BYTES = 2000, 2**26
"""JPEG 2000 of an empty slice is small, but not this small."""


@dataclass(frozen=True)
class Frame:
    """One slice. position, plane: ImagePositionPatient [3] and ImageOrientationPatient [6], LPS mm; spacing:
    between rows, between columns, mm. volume: what tells the volumes of a multi-frame image apart."""

    image: DicomImage
    index: int
    position: np.ndarray
    plane: np.ndarray
    spacing: tuple[float, float]
    thickness: float
    slope: float
    inter: float
    volume: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One file: its header, and the type of its stored values."""

    file: Path
    header: Any
    rows: int
    columns: int
    frames: int
    dtype: np.dtype
    inverted: bool
    padding: tuple[int, int] | None

    @property
    def stored_range(self) -> tuple[int, int]:
        """Least and largest value that the stored bits can hold."""
        bits = int(self.header.get("BitsStored") or self.header.BitsAllocated)
        return (
            (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.header.get("PixelRepresentation") else (0, 2**bits - 1)
        )


def read_frames(file: Path) -> list[Frame]:
    """The frames of a file, with their `DicomImage`. Raises ScanError naming the file."""
    try:
        return list(frames_of(read_image(file)))
    except ScanError:
        raise
    except Exception as error:  # pydicom turns bytes into numbers when asked for them, and has no type for damage
        reason = f"has a damaged DICOM header: {words(error)}"
        raise ScanError(reason, path=file, remedy="copy it again from its source") from error


def read_image(file: Path) -> DicomImage:
    """The file's header, checked. Raises ScanError, by name, for what is not one real number a voxel."""
    header = read_header(file)
    if missing := [tag for tag in ("Rows", "Columns", "BitsAllocated") if tag not in header]:
        raise ScanError(f"has no {missing[0]}", path=file, remedy="it is damaged, or no image")
    _check_content(header, file)
    rows, columns, frames = (int(header.get(tag) or least) for tag, least in SIZES)
    check_shape((rows, columns, frames), file)
    check_frames(frames, file.stat().st_size, file)
    dtype = _dtype(header, file)
    _check_size(header, rows * columns * frames * dtype.itemsize, file)
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1" and header.get("Modality") != "CT"
    return DicomImage(file, header, rows, columns, frames, dtype, inverted, _padding(header))


def _check_content(header: Any, file: Path) -> None:
    samples, colours = int(header.get("SamplesPerPixel") or 1), header.get("PhotometricInterpretation")
    if samples != 1 or colours == "PALETTE COLOR":
        reason = f"holds {samples} numbers a voxel ({colours})"
        raise ScanError(reason, path=file, remedy="only one real number a voxel is a scan")
    if "MOSAIC" in _image_type(header):
        raise ScanError("is a mosaic of slices in one image", path=file, remedy="convert it to NIfTI with dcm2niix")
    if "ModalityLUTSequence" in header:
        raise ScanError("maps its values by a table (ModalityLUTSequence)", path=file, remedy="convert it to NIfTI")


def _image_type(header: Any) -> tuple[str, ...]:
    kind = header.get("ImageType") or ()
    return (kind,) if isinstance(kind, str) else tuple(str(k) for k in kind)


def is_localizer(header: Any) -> bool:
    """A scout image, made to plan the scan that follows."""
    return not {"LOCALIZER", "SCOUT"}.isdisjoint(_image_type(header))


def _dtype(header: Any, file: Path) -> np.dtype:
    bits = int(header.get("BitsAllocated") or 0)
    if bits not in (8, 16, 32, 64):
        raise ScanError(f"has {bits} bits a voxel", path=file, remedy="8, 16 and 32 are read")
    return np.dtype(f"{'i' if header.get('PixelRepresentation') else 'u'}{bits // 8}")


def _check_size(header: Any, declared: int, file: Path) -> None:
    real = file.stat().st_size
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if syntax is None or not (syntax.is_deflated or syntax.is_compressed):
        check_length(declared, min(real, declared), file)
    elif declared > max(BOMB_BYTES, BOMB_RATIO * real):
        reason = f"declares {declared} bytes of pixels in a file of {real}"
        raise ScanError(reason, path=file, remedy="the header is damaged, or it is a bomb")


def _padding(header: Any) -> tuple[int, int] | None:
    """Least and largest stored value that means 'no measurement here'."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(int(v), header) for v in (value, value if limit is None else limit))
    return low, high


def _as_stored(value: int, header: Any) -> int:
    """Some writers give the bits of a negative padding value as an unsigned number."""
    bits = int(header.BitsAllocated)
    return value - 2**bits if header.get("PixelRepresentation") and value >= 2 ** (bits - 1) else value


def frames_of(image: DicomImage) -> Iterator[Frame]:
    """The frames of a classic image (one) or of an enhanced one. Raises ScanError where they are nowhere."""
    for index in range(image.frames):
        position = _numbers(image, index, "ImagePositionPatient", 3)
        plane = _numbers(image, index, "ImageOrientationPatient", 6)
        rows, columns = _numbers(image, index, "PixelSpacing", 2)
        thickness, slope, inter = (_number(image, index, tag) for tag in SCALARS)
        volume = tuple(str(_lookup(image.header, index, tag)) for tag in VOLUMES)
        spacing = float(rows), float(columns)
        yield Frame(image, index, position, plane, spacing, thickness, slope or 1.0, inter, volume)


def _numbers(image: DicomImage, index: int, tag: str, count: int) -> np.ndarray:
    values = _lookup(image.header, index, tag)
    if values is None or isinstance(values, str) or np.size(values) != count:
        remedy = "an image that is nowhere in the patient is no scan"
        raise ScanError(f"has no {tag}", path=image.file, remedy=remedy)
    numbers = np.array([float(v) for v in values])
    if not np.isfinite(numbers).all():
        raise ScanError(f"has the {tag} {numbers}", path=image.file, remedy="the header is damaged")
    return numbers


def _number(image: DicomImage, index: int, tag: str) -> float:
    value = float(_lookup(image.header, index, tag) or 0)
    if not math.isfinite(value):
        raise ScanError(f"has the {tag} {value}", path=image.file, remedy="the header is damaged")
    return value


def _lookup(header: Any, index: int, tag: str) -> Any:
    """A value of one frame: its own, the one shared by all frames, or the image's."""
    for groups, item in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        frames = header.get(groups) or ()
        group = frames[item].get(GROUPS[tag]) if item < len(frames) else None
        if group and tag in group[0]:
            return group[0].get(tag)
    return header.get(tag)
