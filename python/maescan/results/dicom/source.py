"""The images that a scan was read from: what of their headers its results may carry, and where they lie in space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maescan.errors import ScanError
from maescan.files import printable
from maescan.scans.dicom import ordered_frames
from maescan.scans.dicom.stack import Stack
from maescan.scans.geometry import LPS_TO_RAS
from maescan.scans.scan import axial_axes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "BodyPartExamined"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "ImageType"),
    "TimezoneOffsetFromUTC",
)
EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", *STUDY[1:], "ReferringPhysicianName")
"""Elements that results must have, with nothing in them where the images say nothing."""
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID")
TIMES = ("Content", "Acquisition", "Series", "Study")
SEXES = ("M", "F", "O")
OLD_DATE = re.compile(r"\d{4}\.\d\d\.\d\d")
ZONE = re.compile(r"[+-]\d{4}")
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
IN_PLANE, ACROSS = 0.5, 0.1
"""How far an image may lie off the grid: in pixels, and in slices."""
REMEDY = "the scores stand; of this series no DICOM results are made"


@dataclass(frozen=True, eq=False)
class Series:
    """images: cleaned headers of the files, in the order of the grid; slots: for each of them (files, or frames of an
    enhanced image) the index of its plane; when: date and time that results carry; spacing: between rows, columns and
    planes, mm; origin [3], directions [6]: LPS."""

    images: list[Dataset]
    frames: list[tuple[int, int]]
    slots: list[int]
    planes: int
    when: tuple[str, str]
    spacing: tuple[float, float, float]
    origin: NDArray[np.float64]
    directions: NDArray[np.float64]

    @property
    def first(self) -> Dataset:
        """The header of the first image."""
        return self.images[0]

    def positions(self) -> NDArray[np.float64]:
        """ImagePositionPatient of each plane, [planes, 3], ascending along the normal."""
        normal = np.cross(self.directions[:3], self.directions[3:])
        return self.origin + np.outer(np.arange(self.planes) * self.spacing[2], normal)

    def image_at(self, level: int) -> tuple[Dataset, int | None] | None:
        """The image that axial slice `level` is, and its frame number in an enhanced one; None where axial slices are
        cut across the images, or where there is none."""
        axes = axial_axes(self.affine())
        if axes.order[0] != 2:
            return None
        plane = self.planes - 1 - level if axes.flip[0] else level
        if plane not in self.slots:
            return None
        image, frame = self.frames[self.slots.index(plane)]
        header = self.images[image]
        return header, frame + 1 if int(header.get("NumberOfFrames") or 1) > 1 else None

    def affine(self) -> NDArray[np.float64]:
        """[4, 4]: voxel index (column, row, plane) to RAS+ mm."""
        affine = np.eye(4)
        affine[:3, 0] = self.directions[:3] * self.spacing[1]
        affine[:3, 1] = self.directions[3:] * self.spacing[0]
        affine[:3, 2] = np.cross(self.directions[:3], self.directions[3:]) * self.spacing[2]
        affine[:3, 3] = self.origin
        return np.asarray(LPS_TO_RAS @ affine, dtype=np.float64)


def read_series(
    files: Sequence[Path], path: Path, *, volume: int | None = None, accept: frozenset[str] = frozenset()
) -> Series:
    """The images of a scan. Raises ScanError where they do not lie on one grid at right angles, or lack what results
    must refer to."""
    stack = ordered_frames(files, path, volume=volume, accept=accept)
    origin, directions, spacing = _grid(stack)
    _check_grid(stack, origin, directions, spacing)
    headers = list({id(frame.image): frame.image for frame in stack.frames}.values())
    for image in headers:
        if missing := next((tag for tag in NEEDED if not image.header.get(tag)), ""):
            raise ScanError(f"has no {missing}", path=path, remedy=REMEDY, file=image.file)
        if several := next(
            (tag for tag in (*PATIENT, *STUDY) if tag in image.header and image.header[tag].VM > 1), ""
        ):
            reason = f"{several} holds several values, split by backslashes: results would name nobody"
            raise ScanError(reason, path=path, remedy=REMEDY, file=image.file)
    for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if len({str(image.header.get(tag)) for image in headers}) > 1:
            raise ScanError(f"its images differ in {tag}", path=path, remedy=REMEDY)
    if len({str(image.header.SOPInstanceUID) for image in headers}) < len(headers):
        reason = "several of its images have one SOPInstanceUID: results could refer to none of them"
        raise ScanError(reason, path=path, remedy=REMEDY)
    place = {id(image): number for number, image in enumerate(headers)}
    frames = [(place[id(frame.image)], frame.index) for frame in stack.frames]
    images = [cleaned(image.header) for image in headers]
    for kept in images:
        kept.SliceThickness = decimal(spacing[2])  # of the grid, which is what results have
        if "PerFrameFunctionalGroupsSequence" in kept:
            kept.SharedFunctionalGroupsSequence = [_shared(directions, spacing)]
    when = latest(image.header for image in headers)
    return Series(images, frames, stack.slots, stack.slices, when, spacing, origin, directions)


def _grid(stack: Stack) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float, float]]:
    first = stack.frames[0]
    lengths = np.linalg.norm(first.plane.reshape(2, 3), axis=1)
    directions = first.plane / np.repeat(lengths, 3)
    normal = np.cross(directions[:3], directions[3:])
    step = LPS_TO_RAS[:3, :3] @ stack.affine[:3, 2]
    return first.position, directions, (*first.spacing, float(step @ normal))


def _check_grid(
    stack: Stack,
    origin: NDArray[np.float64],
    directions: NDArray[np.float64],
    spacing: tuple[float, float, float],
) -> None:
    """Raises ScanError: another viewer would show a result beside its place."""
    normal = np.cross(directions[:3], directions[3:])
    axes = np.stack([directions[:3] / spacing[1], directions[3:] / spacing[0], normal / spacing[2]])
    for slot, frame in zip(stack.slots, stack.frames, strict=True):
        off = axes @ (frame.position - origin) - [0, 0, slot]
        if np.abs(off[:2]).max() > IN_PLANE or abs(off[2]) > ACROSS:
            name = printable(frame.image.file.name)
            far = f"{off[0]:.2g}, {off[1]:.2g} pixels and {off[2]:.2g} slices"
            reason = f"{name} lies off the grid of the others by {far}: a result would be shown beside its place"
            raise ScanError(reason, path=frame.image.file, remedy=REMEDY)


def cleaned(header: Dataset) -> Dataset:
    """What of an image's header results may carry, as UTF-8: nothing else of the patient, of people, of places."""
    from pydicom.dataset import Dataset

    kept = Dataset()
    for tag in (*PATIENT, *STUDY, *IMAGE):
        if tag in header and header[tag].value not in (None, ""):
            kept[tag] = header[tag]
    for tag in (tag for tag in kept.dir("Date", "Time") if tag in (*PATIENT, *STUDY)):
        setattr(kept, tag, (_date if tag.endswith("Date") else _time)(kept[tag].value))
    for tag in EMPTY:
        if tag not in kept:
            setattr(kept, tag, "")
    if not ZONE.fullmatch(str(kept.get("TimezoneOffsetFromUTC", "+0000"))):
        del kept.TimezoneOffsetFromUTC
    if kept.PatientSex not in SEXES:
        kept.PatientSex = ""
    kept.SpecificCharacterSet = "ISO_IR 192"
    if "PerFrameFunctionalGroupsSequence" in header:
        kept.PerFrameFunctionalGroupsSequence = [_place(item) for item in header.PerFrameFunctionalGroupsSequence]
    return kept


def decimal(value: float) -> float:
    """As many digits as a DS element of 16 characters has room for."""
    return float(f"{value:.9g}") + 0.0


def _date(value: object) -> str:
    """DICOM's date, also of one written as 1996.06.11; "" for what is none: writers refuse it."""
    text = str(value).strip()
    text = text.replace(".", "") if OLD_DATE.fullmatch(text) else text
    try:
        return text if datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d") == text else ""
    except ValueError:
        return ""


def _time(value: object) -> str:
    """DICOM's time, also of one written as 10:11:12; "" for what is none."""
    text = str(value).strip().replace(":", "")
    return text if TIME.fullmatch(text) else ""


def _place(group: Dataset) -> Dataset:
    """Of a frame's functional groups the one that says where it lies."""
    from pydicom.dataset import Dataset

    kept = Dataset()
    if "PlanePositionSequence" in group:
        kept.PlanePositionSequence = group.PlanePositionSequence
    return kept


def _shared(directions: NDArray[np.float64], spacing: tuple[float, float, float]) -> Dataset:
    """What all frames have in common: the grid."""
    from pydicom.dataset import Dataset

    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [decimal(spacing[0]), decimal(spacing[1])]
    measures.SliceThickness = decimal(spacing[2])
    plane.ImageOrientationPatient = [decimal(value) for value in directions]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    return shared


def latest(headers: Iterable[Dataset]) -> tuple[str, str]:
    """Date and time of the images, DICOM's DA and TM: results carry them in place of the clock's, so that a scan
    scored again gives the same bytes."""
    found = [_when(header) for header in headers]
    return max(found, default=("19000101", "000000"))


def _when(header: Dataset) -> tuple[str, str]:
    for kind in TIMES:
        if date := _date(header.get(f"{kind}Date") or ""):
            return date, _time(header.get(f"{kind}Time") or "")[:6].ljust(6, "0")
    return "19000101", "000000"
