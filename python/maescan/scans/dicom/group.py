"""DICOM headers to volumes: grouped by patient, study, series and frame of reference, split where positions clash."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maescan.decimals import counted
from maescan.scans.dicom import complete, kinds, parts
from maescan.scans.dicom.contrast import by_contrast
from maescan.scans.dicom.series import series_of
from maescan.scans.dicom.volumes import by_plane, same_places, same_values, split, volumes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TOLD_APART = (
    *("ImageType", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime"),
    *("DiffusionBValue", "InversionTime", "AcquisitionTime"),
)
"""What tells the volumes of a series apart where several images lie at one position; the first that does so."""
NOBODYS = re.compile(
    r"(?:anon(?:ym(?:ous|i[sz]ed))?(?:[ _^-]?(?:patient|subject|id))?|unknown|undefined|none|null|n/?a"
    r"|(?:no[ _-]?)?(?:patient(?:[ _-]?id)?|id|name)|not[ _-]?(?:available|known|specified|applicable)|removed"
    r"|redacted|deleted|hidden|private|confidential|blank|empty|dummy|test|de-?identified|[0x-]|(.)\1{2,})?"
)
"""A PatientID that tools put in the place of everybody's, in small letters: Anonymous, 0, XXXX."""
TOLERANT = ("EchoTime", "TriggerTime", "DiffusionBValue", "InversionTime")
PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
BELONGS = ("SeriesNumber", "Modality", "StudyInstanceUID", "SeriesInstanceUID")
TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("Rows", "Columns", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "SeriesDescription"),
    *PATIENT,
    *TOLD_APART,
    *("SamplesPerPixel", "PhotometricInterpretation"),
    *complete.TAGS,
    *parts.TAGS,
]
FUNCTIONAL = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]


@dataclass(frozen=True)
class FileHeader:
    """What grouping needs of one file. belongs: patient, number and kind, study and series; once they are grouped,
    all that the images of its series say of these. plane, depth: orientation, and position along its normal; depth is
    None for an image that is nowhere, or that has several frames. part: of a concatenation; picture: why it is no
    part of a volume; localizer: what of its header says that it was made to plan by."""

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
    part: parts.Part | None = None
    picture: str = ""
    localizer: str = ""

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return self.belongs[-1]


@dataclass(frozen=True)
class Volume:
    """Images of one scan, and what is to be noted of how they were found, and of what it lacks. picture: why they are
    none."""

    images: list[FileHeader]
    notes: tuple[str, ...] = ()
    lacks: str = ""
    picture: str = ""


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


def patient_of(number: str) -> str:
    """A hash of a PatientID, in small letters, that tells a patient's series from others'; "" where it does not.

    >>> patient_of("anonymous"), patient_of("0000"), patient_of("a1") == patient_of("a2")
    ('', '', False)
    """
    return "" if NOBODYS.fullmatch(number) else hashlib.sha256(number.encode()).hexdigest()


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

    patient = (text(tag).casefold().strip("^ ") for tag in PATIENT)
    return FileHeader(
        file=file,
        belongs=(*patient, *(text(tag) for tag in BELONGS)),
        frame=text("FrameOfReferenceUID"),
        number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        size=(text("Rows"), text("Columns")),
        plane=plane,
        depth=depth if np.isfinite(depth) else None,
        tags=tuple(text(tag) for tag in TOLD_APART),
        instance=complete.instance_of(header),
        part=parts.part_of(header),
        picture=kinds.picture_of(header),
        localizer=kinds.localizer(header),
    )


def group(images: list[FileHeader]) -> Iterator[Volume]:
    """The volumes among images. Takes time in proportion to their number."""
    for same, shared in _series(images):
        for series, note in _frames(same):
            for part, joined in _folders(series):
                for volume in _stacks(part):
                    picture = volume.picture or _picture(volume.images)
                    yield replace(volume, notes=shared + note + joined + volume.notes, picture=picture)


def _picture(images: list[FileHeader]) -> str:
    """Why images that are all pictures are no volume, or one that is a projection; "" where they may be one."""
    if len(images) == 1 and images[0].instance.frames == 1:
        return images[0].picture or ("is one projection of slices" if _terms(images[0]) & kinds.PROJECTIONS else "")
    return images[0].picture if all(image.picture for image in images) else ""


def _terms(image: FileHeader) -> set[str]:
    """Of its ImageType."""
    return set(re.findall(r"[^\W\d][\w ]*", image.tags[TOLD_APART.index("ImageType")]))


def _series(images: list[FileHeader]) -> Iterator[tuple[list[FileHeader], tuple[str, ...]]]:
    """By patient, study, series, its number and kind; without a SeriesInstanceUID by folder and description too."""
    uids = [("" if image.series else str(image.file.parent), *image.belongs[-2:]) for image in images]
    names = [(*image.belongs[:-2], "" if image.series else image.description) for image in images]
    for places, name, notes in series_of(uids, names):
        same = [images[i] for i in places]
        belongs = (*name[:-1], *same[0].belongs[-2:])
        yield [image if image.belongs == belongs else replace(image, belongs=belongs) for image in same], notes


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
        place: object = image.part or (image.instance if image.instance.frames > 1 else None)
        place = place if image.depth is None else round(image.depth, 2)
        where = (image.size, image.tags[:2], place, image.plane)
        if found.setdefault(where, image.file.parent) != image.file.parent and place is not None:
            yield from ((folder, ()) for folder in folders)
            return
    yield images, (f"joined from {len(folders)} folders",)


def _stacks(images: list[FileHeader]) -> Iterator[Volume]:
    """By orientation and size, then by what tells images at one position apart; an enhanced image is one volume, all
    of it where it was cut into files; images that are nowhere in the patient are one that cannot be read."""
    whole = [image for image in images if not image.part]
    located = [image for image in whole if image.depth is not None]
    planes = [[located[i] for i in places] for places in by_plane([image.plane for image in located])]
    if kinds.shows_views([plane[0].plane for plane in planes], [len(plane) for plane in planes]):
        yield Volume(located, picture=kinds.ARE_VIEWS.format(len(located)))
        planes = []
    for plane in planes:
        sizes = _split(plane, [image.size for image in plane])
        for same in sizes:
            others = {" x ".join(other[0].size) for other in sizes if other is not same}
            note = (f"its series also holds slices of {', '.join(sorted(others))}",) if others else ()
            yield from (replace(volume, notes=note + volume.notes) for volume in _volumes(same))
    enhanced = [*_concatenated(images), *(Volume([image]) for image in whole if image.instance.frames > 1)]
    note = (f"is one of {len(enhanced)} enhanced images of its series",) if len(enhanced) > 1 else ()
    yield from (replace(volume, notes=note) for volume in enhanced)
    nowhere = [image for image in whole if image.depth is None and image.instance.frames == 1]
    yield from (Volume([image]) for image in nowhere if image.picture)
    if lost := [image for image in nowhere if not image.picture]:  # which is told when they are read
        yield Volume(lost)


def _concatenated(images: list[FileHeader]) -> Iterator[Volume]:
    """The concatenations, each in the order of its parts."""
    cut = [image for image in images if image.part]
    for same in _split(cut, [image.part.uid for image in cut if image.part]):
        known = [(image.part, image) for image in same if image.part]
        ordered = [image for _, image in sorted(known, key=lambda pair: pair[0].number)]
        yield Volume(ordered, lacks=parts.lacking([part for part, _ in known]))


def _volumes(images: list[FileHeader]) -> Iterator[Volume]:
    places = same_places([float(image.depth or 0) for image in images])
    columns = dict(zip(TOLD_APART, zip(*(image.tags for image in images), strict=True), strict=True))
    tags = [same_values(column, tolerant=name in TOLERANT) for name, column in columns.items()]
    found: list[tuple[list[int], tuple[str, ...]]] = []
    for volume in volumes(places, tags):
        upward = sorted(volume, key=lambda i: images[i].depth or 0)
        inside = {name: [column[i] for i in upward] for name, column in columns.items()}
        contrasts = by_contrast(inside, len(upward))
        found += sorted((sorted(upward[i] for i in part), notes) for part, notes in contrasts)
    largest = max(len(volume) for volume, _ in found)
    if len(found) > 1 and not places.any():
        mosaic = "MOSAIC" in _terms(images[0])  # each is all slices of a volume, which is told when they are read
        yield Volume(images, picture="" if mosaic else kinds.ARE_TIMES.format(len(images)))
        return
    for volume, notes in found:
        note = (f"holds {counted(len(volume), 'slice')} where another volume of its series holds {largest}",)
        yield Volume([images[i] for i in volume], notes + (note if len(volume) < largest else ()))


def common_folder(images: list[FileHeader]) -> Path:
    """The folder that all of them lie in or below."""
    folders = {image.file.parent for image in images}
    if len({folder.is_absolute() for folder in folders}) > 1:
        folders = {folder.absolute() for folder in folders}
    return Path(os.path.commonpath(folders))
