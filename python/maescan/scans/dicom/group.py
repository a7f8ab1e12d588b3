"""DICOM headers to volumes: grouped by patient, study, series and frame of reference, split where positions clash."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maescan.scans.dicom import complete
from maescan.scans.dicom.volumes import by_plane, same_places, same_values, split, volumes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TOLD_APART = (
    *("ImageType", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime"),
    *("DiffusionBValue", "InversionTime", "AcquisitionTime"),
)
"""What tells the volumes of a series apart where several images lie at one position; the first that does so."""
TOLERANT = ("EchoTime", "TriggerTime", "DiffusionBValue", "InversionTime")
PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("Rows", "Columns", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "SeriesDescription"),
    *PATIENT,
    *TOLD_APART,
    *complete.TAGS,
]
FUNCTIONAL = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]


@dataclass(frozen=True)
class FileHeader:
    """What grouping needs of one file. belongs: patient, study and series. plane, depth: orientation, and position
    along its normal; depth is None for an image that is nowhere, or that has several frames."""

    file: Path
    belongs: tuple[str, ...]
    frame: str
    number: str
    description: str
    size: tuple[str, str]
    plane: tuple[float, ...]
    depth: float | None
    tags: tuple[str, ...]
    instance: complete.Instance

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return self.belongs[-1]


@dataclass(frozen=True)
class Volume:
    """Images of one scan, and what is to be noted of how they were found."""

    images: list[FileHeader]
    notes: tuple[str, ...] = ()


def place_of(header: Dataset) -> Dataset:
    """Position and orientation of an enhanced image of one frame, whose FUNCTIONAL were read."""
    from pydicom.dataset import Dataset

    found = Dataset()
    for groups in (header.get(name) or () for name in FUNCTIONAL):
        for part in groups[:1]:
            for name, value in (
                ("PlanePosition", "ImagePositionPatient"),
                ("PlaneOrientation", "ImageOrientationPatient"),
            ):
                inside = part.get(f"{name}Sequence") or ()
                if inside and value in inside[0]:
                    setattr(found, value, inside[0].get(value))
    return found


def image_of(file: Path, header: Dataset) -> FileHeader:
    """Raises ValueError for an image that has lost its size, and whatever pydicom raises for damage."""
    if "Rows" not in header or "Columns" not in header:
        raise ValueError("an image without Rows or Columns")
    plane = tuple(float(x) for x in header.get("ImageOrientationPatient") or ())
    position = [float(x) for x in header.get("ImagePositionPatient") or ()]
    located = len(plane) == 6 and len(position) == 3 and int(header.get("NumberOfFrames") or 1) == 1
    depth = float(np.dot(np.cross(plane[:3], plane[3:]), position)) if located else float("nan")

    def text(tag: str) -> str:
        return str(header.get(tag) or "").strip()

    patient = "\0".join(text(tag).casefold().strip("^ ") for tag in PATIENT)
    return FileHeader(
        file=file,
        belongs=(patient, text("StudyInstanceUID"), text("SeriesInstanceUID")),
        frame=text("FrameOfReferenceUID"),
        number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        size=(text("Rows"), text("Columns")),
        plane=plane,
        depth=depth if np.isfinite(depth) else None,
        tags=tuple(text(tag) for tag in TOLD_APART),
        instance=complete.instance_of(header),
    )


def group(images: list[FileHeader]) -> Iterator[Volume]:
    """The volumes among images. Takes time in proportion to their number."""
    for same in _split(images, [image.belongs if image.series else (str(image.file.parent),) for image in images]):
        for series, note in _frames(same):
            for part, joined in _folders(series):
                for volume in _stacks(part):
                    yield Volume(volume.images, note + joined + volume.notes)


def _split(images: list[FileHeader], keys: Sequence[Hashable]) -> list[list[FileHeader]]:
    return [[images[i] for i in places] for places in split(keys)]


def _frames(images: list[FileHeader]) -> Iterator[tuple[list[FileHeader], tuple[str, ...]]]:
    """By frame of reference: positions in two of them have nothing to do with each other."""
    parts = _split(images, [image.frame for image in images])
    if len(parts) == 1:
        yield images, ()
    elif len(parts) == len(images) > 2:
        yield images, ("each slice has a frame of reference of its own: they were left out of account",)
    elif len(parts) == 2 and "" in (parts[0][0].frame, parts[1][0].frame):
        yield images, ("some slices do not name their frame of reference: taken as that of the others",)
    else:
        for part in parts:
            yield part, (f"its series has {len(parts)} frames of reference: this is one of them",)


def _folders(images: list[FileHeader]) -> Iterator[tuple[list[FileHeader], tuple[str, ...]]]:
    """A series lies in one folder, unless its parts in several folders complete each other."""
    folders = _split(images, [image.file.parent for image in images])
    if len(folders) == 1:
        yield images, ()
        return
    found: dict[object, Path] = {}
    for image in images:
        where = (image.size, image.tags[:2], None if image.depth is None else round(image.depth, 2), image.plane)
        if found.setdefault(where, image.file.parent) != image.file.parent and image.depth is not None:
            yield from ((folder, ()) for folder in folders)
            return
    yield images, (f"joined from {len(folders)} folders",)


def _stacks(images: list[FileHeader]) -> Iterator[Volume]:
    """By orientation and size, then by what tells images at one position apart."""
    located = [image for image in images if image.depth is not None]
    for places in by_plane([image.plane for image in located]):
        plane = [located[i] for i in places]
        sizes = _split(plane, [image.size for image in plane])
        for same in sizes:
            others = {" x ".join(other[0].size) for other in sizes if other is not same}
            note = (f"its series also holds slices of {', '.join(sorted(others))}",) if others else ()
            yield from (Volume(volume.images, note + volume.notes) for volume in _volumes(same))
    yield from (Volume([image]) for image in images if image.depth is None)


def _volumes(images: list[FileHeader]) -> Iterator[Volume]:
    places = same_places([float(image.depth or 0) for image in images])
    columns = zip(TOLD_APART, zip(*(image.tags for image in images), strict=True), strict=True)
    tags = [same_values(column, tolerant=name in TOLERANT) for name, column in columns]
    found = volumes(places, tags)
    largest = max(len(volume) for volume in found)
    for volume in found:
        few = 2 * len(volume) <= largest and len(found) > 1
        note = (f"holds {len(volume)} slices where another volume of its series holds {largest}",) if few else ()
        yield Volume([images[i] for i in volume], note)


def common_folder(images: list[FileHeader]) -> Path:
    """The folder that all of them lie in or below."""
    return Path(os.path.commonpath([image.file.parent for image in images]))


def beside(volumes: list[Volume]) -> dict[Path, list[int]]:
    """For each folder, which volumes have images in it."""
    found: dict[Path, list[int]] = defaultdict(list)
    for number, volume in enumerate(volumes):
        for folder in {image.file.parent for image in volume.images}:
            found[folder].append(number)
    return found
