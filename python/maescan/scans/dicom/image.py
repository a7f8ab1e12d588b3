"""The header of one DICOM file as frames in space, with what their numbers mean; unusual content is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maescan.errors import ScanError
from maescan.scans.dicom.codestream import check_syntax
from maescan.scans.dicom.file import inflated_size, is_private_ge, read_header
from maescan.scans.dicom.kinds import colours_of, image_type
from maescan.scans.dicom.single import check_single, is_several, several
from maescan.scans.quiet import one_line
from maescan.scans.sizes import check_frames, check_length, check_shape

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameContentSequence": ("StackID", "TemporalPositionIndex"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRModifierSequence": ("InversionTimes",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime",),
    "MRImageFrameTypeSequence": ("FrameType",),
    "CTImageFrameTypeSequence": ("FrameType",),
}
"""The functional groups of an enhanced image, and what is read of each."""
SCALARS = ("SliceThickness", "RescaleSlope", "RescaleIntercept")
VOLUMES = (
    *("FrameType", "EffectiveEchoTime", "TemporalPositionIndex", "DiffusionBValue", "InversionTimes"),
    "NominalCardiacTriggerDelayTime",
)
"""What tells the volumes of an enhanced image apart where frames lie at one position; the first that does so."""
TOLERANT = ("EffectiveEchoTime", "DiffusionBValue", "InversionTimes", "NominalCardiacTriggerDelayTime")
UNSIZED = "how large it is is not known: export the series again"
UNIT = 0.01
"""How far the length of a direction may be from 1, and the cosine between two from 0."""
NEEDED = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation"),
)
"""Without one of these nobody decodes an image."""
SIZES = (("Rows", 0), ("Columns", 0), ("NumberOfFrames", 1))
BOMB_RATIO, BOMB_BYTES = 2000, 2**26
"""JPEG 2000 of an empty slice is small, but not this small."""


@dataclass(frozen=True)
class Frame:
    """One slice. position, plane: ImagePositionPatient [3] and ImageOrientationPatient [6], LPS mm; spacing:
    between rows, between columns, mm. rescaled: whether slope or intercept is said; stack: StackID; tags: values of
    VOLUMES."""

    image: DicomImage
    index: int
    position: np.ndarray
    plane: np.ndarray
    spacing: tuple[float, float]
    thickness: float
    slope: float
    intercept: float
    rescaled: bool
    stack: str
    tags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One file: its header, and the type of its stored values. swapped: pixels in the other byte order than its
    transfer syntax says."""

    file: Path
    header: Dataset
    rows: int
    columns: int
    frames: int
    dtype: np.dtype
    inverted: bool
    padding: tuple[int, int] | None
    swapped: bool = False

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
        reason = f"has a damaged DICOM header: {one_line(error)}"
        raise ScanError(reason, path=file, remedy="copy it again from its source") from error


def read_image(file: Path) -> DicomImage:
    """The file's header, checked. Raises ScanError, by name, for what is not one real number per voxel."""
    header = read_header(file)
    check_single(header, file)
    check_syntax(header, file)
    if missing := [tag for tag in NEEDED if tag not in header]:
        raise ScanError(f"has no {missing[0]}", path=file, remedy="it is damaged, or no image")
    _check_content(header, file)
    rows, columns, frames = (int(header.get(tag) or least) for tag, least in SIZES)
    check_shape((rows, columns, frames), file)
    check_frames(frames, file.stat().st_size, file)
    dtype = _dtype(header, file)
    _check_size(header, rows * columns * frames * dtype.itemsize, file)
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1" and header.get("Modality") != "CT"
    swapped = is_private_ge(file)
    return DicomImage(file, header, rows, columns, frames, dtype, inverted, _padding(header), swapped)


def _check_content(header: Dataset, file: Path) -> None:
    if colours := colours_of(header):
        raise ScanError(f"holds {colours}", path=file, remedy="only one real number per voxel is a scan")
    if "MOSAIC" in image_type(header):
        raise ScanError("is a mosaic of slices in one image", path=file, remedy="convert it to NIfTI with dcm2niix")
    stored, high = header.get("BitsStored"), header.get("HighBit")
    if stored is not None and high is not None and int(high) != int(stored) - 1:
        reason = f"stores its {stored} bits up to bit {high} and not to {int(stored) - 1}"
        raise ScanError(reason, path=file, remedy="readers differ on what that means: export the series again")
    if "ModalityLUTSequence" in header:
        raise ScanError("maps its values by a table (ModalityLUTSequence)", path=file, remedy="convert it to NIfTI")


def frame_type(frame: Frame) -> tuple[str, ...]:
    """The FrameType of an enhanced image's frame, or its image's ImageType."""
    return tuple(re.findall(r"'([^']*)'", frame.tags[0])) or image_type(frame.image.header)


def _dtype(header: Dataset, file: Path) -> np.dtype:
    bits = int(header.get("BitsAllocated") or 0)
    if bits not in (8, 16, 32, 64):
        raise ScanError(f"has {bits} bits per voxel", path=file, remedy="8, 16 and 32 are read")
    return np.dtype(f"{'i' if header.get('PixelRepresentation') else 'u'}{bits // 8}")


def _check_size(header: Dataset, declared: int, file: Path) -> None:
    real = inflated_size(file)
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if syntax is None or not (syntax.is_deflated or syntax.is_compressed):
        check_length(declared, min(real, declared), file)
    elif declared > max(BOMB_BYTES, BOMB_RATIO * real):
        reason = f"declares {declared} bytes of pixels in a file of {real}"
        raise ScanError(reason, path=file, remedy="the header is damaged, or it is a bomb")


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Least and largest stored value that means 'no measurement here'."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(int(v), header) for v in (value, value if limit is None else limit))
    return low, high


def _as_stored(value: int, header: Dataset) -> int:
    """Some writers give the bits of a negative padding value as an unsigned number."""
    bits = int(header.BitsAllocated)
    return value - 2**bits if header.get("PixelRepresentation") and value >= 2 ** (bits - 1) else value


def frames_of(image: DicomImage) -> Iterator[Frame]:
    """The frames of a classic image (one) or of an enhanced one. Raises ScanError where they are nowhere."""
    per_frame = image.header.get("PerFrameFunctionalGroupsSequence") or ()
    shared, known, read = Facts(), Known(), _Values(image)
    for group in image.header.get("SharedFunctionalGroupsSequence") or ():
        shared.update(_values(group, known))
    for index in range(image.frames):
        values = read.of({**shared, **_values(per_frame[index], known)} if index < len(per_frame) else shared)
        position = values.numbers("ImagePositionPatient", 3)
        plane = values.numbers("ImageOrientationPatient", 6, _directions)
        rows, columns = values.numbers("PixelSpacing", 2, _lengths)
        thickness, slope, intercept = (values.number(tag) for tag in SCALARS)
        tags = tuple(str(values.get(tag)) for tag in VOLUMES)
        spacing, of = (float(rows), float(columns)), str(values.get("StackID") or "")
        said = any(values.get(tag) is not None for tag in SCALARS[1:])
        yield Frame(image, index, position, plane, spacing, thickness, slope or 1.0, intercept, said, of, tags)


Facts = dict[str, Any]
Known = dict[tuple[int, bytes], Facts]
"""What groups say, by their bytes: a long run repeats them by the thousand, and pydicom takes its time over each."""


def _values(frame: Dataset, known: Known) -> Facts:
    """What the functional groups of a frame say. known: filled."""
    values, groups = Facts(), _by_tag()
    for group in map(int, frame.keys()):
        if group not in groups:
            continue
        raw = getattr(frame.get_item(group), "value", None)
        key = (group, raw) if isinstance(raw, bytes) else None
        found = known.get(key) if key else None
        if found is None:
            items = frame[group].value or [{}]
            found = {name: items[0][tag].value for tag, name in groups[group].items() if tag in items[0]}
            if key:
                known[key] = found
        values.update(found)
    return values


@cache
def _by_tag() -> dict[int, dict[int, str]]:
    """`GROUPS` by number: pydicom looks names up each time."""
    from pydicom.datadict import tag_for_keyword

    return {
        tag_for_keyword(group) or 0: {tag_for_keyword(name) or 0: name for name in names}
        for group, names in GROUPS.items()
    }


def _directions(plane: np.ndarray, file: Path) -> np.ndarray:
    """Raises ScanError where they are not two unit vectors at right angles."""
    lengths = np.linalg.norm(plane.reshape(2, 3), axis=1)
    if (np.abs(lengths - 1) > UNIT).any() or abs(float(plane[:3] @ plane[3:])) > UNIT:
        text = ", ".join(f"{value:.4g}" for value in plane)
        reason = f"has the ImageOrientationPatient {text}: no two directions at right angles"
        raise ScanError(reason, path=file, remedy="the header is damaged: export the series again")
    return plane


def _lengths(spacing: np.ndarray, file: Path) -> np.ndarray:
    """Raises ScanError for one below 0, which would turn the image round; what is 0 is refused with its affine."""
    if (spacing < 0).any():
        text = " x ".join(f"{value:.4g}" for value in spacing)
        raise ScanError(f"has the PixelSpacing {text}, below 0", path=file, remedy="the header is damaged")
    return spacing


class _Values:
    """Values of one frame: its own, the ones shared by all frames, or the image's. What is the same in many frames is
    looked up and checked once."""

    def __init__(self, image: DicomImage):
        self.image, self.values = image, Facts()
        self._of_image, self._checked = Facts(), dict[tuple[object, ...], np.ndarray]()

    def of(self, values: Facts) -> _Values:
        """These, with what a frame says of its own."""
        self.values = values
        return self

    def get(self, tag: str) -> Any:
        value = self.values.get(tag)
        if value is None and tag not in self._of_image:
            self._of_image[tag] = self.image.header.get(tag)
        return self._of_image[tag] if value is None else value

    def numbers(
        self, tag: str, count: int, check: Callable[[np.ndarray, Path], np.ndarray] | None = None
    ) -> np.ndarray:
        """Raises ScanError where there are not `count` finite numbers, and as `check` does."""
        values = self.get(tag)
        if values is None or isinstance(values, str) or np.size(values) != count:
            remedy = UNSIZED if tag == "PixelSpacing" else "an image that is nowhere in the patient is no scan"
            raise ScanError(f"has no {tag}", path=self.image.file, remedy=remedy)
        key = (tag, *values)
        if key not in self._checked:
            numbers = np.array([float(v) for v in values])
            if not np.isfinite(numbers).all():
                raise ScanError(f"has the {tag} {numbers}", path=self.image.file, remedy="the header is damaged")
            self._checked[key] = check(numbers, self.image.file) if check else numbers
        return self._checked[key]

    def number(self, tag: str) -> float:
        """0 where there is none. Raises ScanError where it is not finite, or not one."""
        found = self.get(tag)
        if is_several(found):
            raise several(tag, found, self.image.file)
        value = float(found or 0)
        if not math.isfinite(value):
            raise ScanError(f"has the {tag} {value}", path=self.image.file, remedy="the header is damaged")
        return value
