"""DICOM files to series: what was acquired together, as one volume, is one `ScanSource`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maescan.scans.budget import touching
from maescan.scans.dicom.file import read_header
from maescan.scans.find import ScanSource
from maescan.scans.labels import file_label, series_label
from maescan.scans.quiet import quiet

PHASES = (
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "TriggerTime",
    "DiffusionBValue",
    "InversionTime",
    "AcquisitionTime",
)
"""What tells the volumes of a series apart where several images lie at one position; the first that does so."""
TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID", "ImageType", "EchoTime", "Rows"),
    *("Columns", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "Modality", *PHASES),
    *("SeriesDescription", "PatientID", "FrameOfReferenceUID"),
]
SAME_PLANE = 1e-3
"""Largest difference of direction cosines within one stack."""
NOT_SCANS = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "DOC", "REG", "FID", "PLAN", "ECG", "AU")


@dataclass(frozen=True)
class Image:
    """What grouping needs of one file."""

    file: Path
    series: str
    number: str
    description: str
    belongs: tuple[str, ...]  # patient, study, series, frame of reference
    plane: tuple[float, ...]
    depth: float
    other: tuple[Any, ...]
    phases: tuple[str, ...]


def find_series(files: Iterable[Path], base: Path) -> Iterator[ScanSource]:
    """The series among DICOM files; a damaged file is a source of its own."""
    if not importlib.util.find_spec("pydicom"):  # told when it is read
        files = list(files)
        for folder in sorted({file.parent for file in files}):
            inside = tuple(file for file in files if file.parent == folder)
            yield ScanSource(file_label(folder, base) if folder != base else base.name, folder, "dicom", inside)
        return
    images = []
    for file in files:
        try:
            with touching(file), quiet():
                header = read_header(file, TAGS)
                if _is_image(header):
                    images.append(_image(file, header))
        except Exception:  # damage, for which pydicom has no common type: it is told when the file is read
            yield ScanSource(file_label(file, base), file, "dicom", (file,))
    yield from _named(list(_volumes(images)), base)


def _is_image(header: Any) -> bool:
    """Not a report, a plan or an index. Raises ValueError for an image that has lost its size."""
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if "Rows" not in header and (kind is None or kind.name.endswith("Image Storage")):
        raise ValueError("an image without Rows")
    return "Rows" in header and header.get("Modality") not in NOT_SCANS


def _image(file: Path, header: Any) -> Image:
    plane = tuple(float(x) for x in header.get("ImageOrientationPatient") or ())
    position = [float(x) for x in header.get("ImagePositionPatient") or ()]
    located = len(plane) == 6 and len(position) == 3 and int(header.get("NumberOfFrames") or 1) == 1
    depth = float(np.dot(np.cross(plane[:3], plane[3:]), position)) if located else float("nan")
    other = (
        *(str(header.get(tag, "")) for tag in ("ImageType", "Rows", "Columns")),
        round(float(header.get("EchoTime") or 0), 2),
        "" if located else str(file),  # several frames, or nowhere: a volume of its own
    )
    phases = tuple(str(header.get(tag, "")) for tag in PHASES)
    series, number, description, *belongs = (
        str(header.get(tag) or "")
        for tag in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "PatientID", "StudyInstanceUID")
    )
    belonging = (*belongs, series, str(header.get("FrameOfReferenceUID") or ""))
    return Image(file, series, number, description, belonging, plane, depth, other, phases)


def _volumes(images: list[Image]) -> Iterator[list[Image]]:
    for same_series in _series(images):
        for same_plane in _planes(same_series):
            for stack in _split(same_plane, lambda image: image.other):
                yield from _phases(stack)


def _series(images: list[Image]) -> Iterator[list[Image]]:
    """By series; a series lies in one folder, unless its parts in several folders complete each other."""
    for same in _split(images, lambda image: image.series or str(image.file.parent)):
        folders = _split(same, lambda image: image.file.parent)
        if len(folders) > 1 and any(_overlap(a, b) for i, a in enumerate(folders) for b in folders[:i]):
            yield from folders
        else:
            yield same


def _overlap(some: list[Image], others: list[Image]) -> bool:
    places = {(image.other, round(image.depth, 2)) for image in some}
    return any((image.other, round(image.depth, 2)) in places for image in others)


def _planes(images: list[Image]) -> list[list[Image]]:
    """By orientation; compared, as rounding would tear apart what is nearly the same."""
    planes: list[list[Image]] = []
    for image in images:
        for plane in planes:
            same = len(plane[0].plane) == len(image.plane)
            if same and np.allclose(plane[0].plane, image.plane, rtol=0, atol=SAME_PLANE):
                plane.append(image)
                break
        else:
            planes.append([image])
    return planes


def _phases(stack: list[Image]) -> list[list[Image]]:
    """Volumes of a stack with several images at one position, where one of PHASES tells them apart."""
    places = len({round(image.depth, 2) for image in stack})
    if places == len(stack):
        return [stack]
    for index in range(len(PHASES)):
        volumes = _split(stack, partial(_phase, index))
        distinct = all(len({round(image.depth, 2) for image in v}) == len(v) for v in volumes)
        if len(volumes) > 1 and distinct and min(len(v) for v in volumes) > places / 2:
            return volumes
    return [stack]


def _phase(index: int, image: Image) -> str:
    return image.phases[index]


def _split(images: list[Image], key: Callable[[Image], Any]) -> list[list[Image]]:
    groups: dict[Any, list[Image]] = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return list(groups.values())


def _named(volumes: list[list[Image]], base: Path) -> Iterator[ScanSource]:
    """Sources with FOLDER/NUMBER-DESCRIPTION as label; the second volume of a series has -2 behind it."""
    count: dict[tuple[Any, ...], int] = defaultdict(int)
    for volume in volumes:
        folder, first = Path(os.path.commonpath([image.file.parent for image in volume])), volume[0]
        files = tuple(image.file for image in volume)
        belongs = first.belongs if first.series else (str(folder), first.number, first.description)
        count[folder, belongs] += 1
        number = count[folder, belongs]
        name = series_label(folder, base, first.number, first.description, first.series)
        identity = hashlib.sha256(repr((belongs, number)).encode()).hexdigest() if first.series else ""
        path = files[0] if len(files) == 1 else folder
        yield ScanSource(
            name if number == 1 else f"{name}-{number}", path, "dicom", files, first.series, identity=identity
        )
