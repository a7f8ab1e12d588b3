"""What all DICOM results have in common, and what is mended of what the library writes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from maescan.results.dicom.finding import Maker
from maescan.results.dicom.source import Series, decimal
from maescan.results.dicom.uids import make_uid

if TYPE_CHECKING:
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
    from pydicom.dataset import Dataset

T = TypeVar("T", bound=np.generic)

MANUFACTURER = "maescan"
NUMBERS = {"sr": 1, "sc": 2, "seg": 3, "ko": 4, "pm": 5}
TITLES = {
    "sr": "maescan report (RESEARCH)",
    "sc": "maescan slices (RESEARCH)",
    "seg": "maescan areas (RESEARCH)",
    "ko": "maescan key images (RESEARCH)",
    "pm": "maescan map (RESEARCH)",
}
SERIES = 9700
"""Series of results are numbered from here, where people look for what a scanner did not make."""


class Identity(TypedDict):
    """The keywords that highdicom takes for every object."""

    series_instance_uid: str
    sop_instance_uid: str
    series_number: int
    instance_number: int
    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str
    series_description: str
    content_date: str
    content_time: str
    series_date: str
    series_time: str
    specific_character_set: str


class Geometry(TypedDict):
    """A grid as highdicom takes it."""

    pixel_measures: PixelMeasuresSequence
    plane_orientation: PlaneOrientationSequence
    plane_positions: Sequence[PlanePositionSequence]


def identity(series: Series, maker: Maker, kind: str, number: int = 1) -> Identity:
    """UIDs, numbers and dates of an object."""
    date, time = series.when
    series_uid, uid = uids_of(str(series.first.SeriesInstanceUID), maker, kind, number)
    return {
        "series_instance_uid": series_uid,
        "sop_instance_uid": uid,
        "series_number": SERIES + NUMBERS[kind],
        "instance_number": number,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": maker.name,
        "software_versions": maker.version,
        "device_serial_number": maker.bundle[:16],
        "series_description": TITLES[kind],
        "content_date": date,
        "content_time": time,
        "series_date": date,
        "series_time": time,
        "specific_character_set": "ISO_IR 192",
    }


def uids_of(series_uid: str, maker: Maker, kind: str, number: int = 1) -> tuple[str, str]:
    """UIDs of series and instance of a result on a scan of this series."""
    whose = maker.key, series_uid, kind
    earlier = maker.supersedes or () if kind == "sr" else ()
    return make_uid(*whose), make_uid(*whose, str(number), *earlier)


def finished(dataset: Dataset, series: Series, maker: Maker, kind: str) -> bytes:
    """The object as a file's bytes, the same for the same result: what the library draws at random or takes from the
    clock is overwritten, and what it does not copy from the source is added."""
    date, time = series.when
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    for item in dataset.get("ContributingEquipmentSequence") or ():
        item.ContributionDateTime = date + time
    if kind == "sc":
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = date, time
    for tag in (tag for tag in ("IssuerOfPatientID", "TimezoneOffsetFromUTC") if tag in series.first):
        setattr(dataset, tag, series.first[tag].value)
    if "DimensionOrganizationSequence" in dataset:
        uid = make_uid(str(dataset.SOPInstanceUID), "dimensions")
        for sequence in (dataset.DimensionOrganizationSequence, dataset.DimensionIndexSequence):
            for item in sequence:
                item.DimensionOrganizationUID = uid
    dataset.ContentQualification = "RESEARCH"
    if kind in ("seg", "pm"):
        dataset.ContentCreatorName = ""
    if kind not in ("sr", "ko") and (part := body_part(series, maker)):
        dataset.BodyPartExamined = part
    elif kind == "sc":
        dataset.Laterality = ""  # of no part that is known to be none of two
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def body_part(series: Series, maker: Maker) -> str:
    """DICOM's word for the part of the body: the source's, or the one that the bundle judges."""
    return str(series.first.get("BodyPartExamined") or {"brain": "BRAIN", "chest": "CHEST"}.get(maker.organ, ""))


def frames_of(volume: NDArray[T]) -> NDArray[T]:
    """[X, Y, Z] on the scan's grid -> frames [Z, rows, columns], ascending along the normal."""
    return np.ascontiguousarray(volume.transpose(2, 1, 0))


def geometry(series: Series) -> Geometry:
    """From positions alone: a source's SpacingBetweenSlices may be false."""
    import highdicom as hd

    rows, columns, planes = series.spacing
    measures: PixelMeasuresSequence = hd.PixelMeasuresSequence(
        pixel_spacing=(decimal(rows), decimal(columns)),
        slice_thickness=decimal(planes),
        spacing_between_slices=decimal(planes),
    )
    patient = hd.CoordinateSystemNames.PATIENT
    orientation: PlaneOrientationSequence = hd.PlaneOrientationSequence(
        patient, [decimal(value) for value in series.directions]
    )
    positions: list[PlanePositionSequence] = [
        hd.PlanePositionSequence(patient, [decimal(value) for value in place]) for place in series.positions()
    ]
    return {"pixel_measures": measures, "plane_orientation": orientation, "plane_positions": positions}


def ascending(dataset: Dataset, frames: NDArray[np.generic], keyword: str, series: Series) -> None:
    """Puts frames, which the library writes in descending order, in ascending order along the normal: some readers
    take the first position for the lowest. frames [Z, ...]: the bytes of each."""
    groups = list(dataset.PerFrameFunctionalGroupsSequence)[::-1]
    for number, group in enumerate(groups, 1):
        _refer_to_the_volume(group, series)
        index = group.FrameContentSequence[0]
        values = index.DimensionIndexValues
        several = [values] if isinstance(values, int) else list(values)
        index.DimensionIndexValues = [*several[:-1], number]
    dataset.PerFrameFunctionalGroupsSequence = groups
    content = frames.tobytes()
    setattr(dataset, keyword, content + b"\0" * (len(content) % 2))


def _refer_to_the_volume(group: Dataset, series: Series) -> None:
    """Leaves out references to frames of an enhanced image that lie at the same place and are of another volume."""
    used = {frame + 1 for _, frame in series.frames}
    for derivation in group.get("DerivationImageSequence") or ():
        items = [
            item
            for item in derivation.SourceImageSequence
            if "ReferencedFrameNumber" not in item or int(item.ReferencedFrameNumber) in used
        ]
        derivation.SourceImageSequence = items
