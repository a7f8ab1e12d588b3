"""What a DICOM object is, by its SOP class: an image of a patient, or something made of or about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maescan.errors import quoted

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SCANS = ("Image Storage", "Enhanced US Volume Storage")
MADE = ("Secondary Capture", "RT ", "Hardcopy")
"""Images in name: screenshots, portal images and doses, prints."""
FLAT = (
    *("Computed Radiography", "Digital X-Ray", "Mammography", "Intra-Oral", "X-Ray Angiographic", "Enhanced XA"),
    *("Radiofluoroscopic", "Enhanced XRF", "Ultrasound Image", "Ultrasound Multi-frame", "VL ", "Photography"),
    "Video",
)
"""Images of one plane or projection: radiographs, films of them, two-dimensional ultrasound, photographs."""
RESULTS = {
    *("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTIMAGE", "DOC", "REG", "FID", "PLAN"),
    *("ECG", "AU", "RWV", "SMR", "ANN", "HC"),
}
"""Modalities that are no scans, where the SOP class is missing or a vendor's own."""
SCREENS = frozenset({"SCREEN SAVE", "CSA REPORT", "DOSE_INFO"})
"""What ImageType calls pictures of a screen, of a report, of a dose."""
PROJECTIONS = frozenset({"PROJECTION IMAGE", "MIP", "MINIP", "MNIP", "MAX_IP", "MIN_IP"})
"""What ImageType calls projections of slices."""
PLANNING = {"localizer", "localiser", "scout", "topogram", "scanogram", "surview"}
"""What SeriesDescription calls images made to plan a scan by, as scanners name them."""
VIEWS, FEW, APART = 3, 8, 0.5
"""So many orientations, of fewer slices each, two of them so far apart (cosine), are views and no volume."""
ARE_VIEWS, ARE_TIMES = "shows {} views in different directions, no volume", "shows one slice {} times, no volume"
NAME_IT = "to score one of them, name its file"


def result_of(header: Dataset) -> str:
    """What an object is that is no scan: a report, a segmentation, a map, a screenshot ...; '' for a scan."""
    kind = header.get("SOPClassUID") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    name = str(getattr(kind, "name", "") or "")
    named = name != "" and not name[0].isdigit()  # the UID itself stands for one that nobody knows
    if named and (not any(word in name for word in SCANS) or any(word in name for word in MADE + FLAT)):
        known = name != str(kind)
        return name.removesuffix(" Storage") if known else f"object of class {quoted(name)}"
    modality = str(header.get("Modality") or "")
    if modality in RESULTS:
        return f"object of modality {modality}"
    vendors = kind is not None and not str(kind).startswith("1.2.840.10008.")
    return "object of a vendor's own kind" if vendors and "Rows" not in header else ""


def image_type(header: Dataset) -> tuple[str, ...]:
    """ImageType, () where it is not said."""
    kind = header.get("ImageType") or ()
    return (kind,) if isinstance(kind, str) else tuple(str(k) for k in kind)


def colours_of(header: Dataset) -> str:
    """How an image has colours, in words; "" for one real number per voxel."""
    samples, colours = int(header.get("SamplesPerPixel") or 1), str(header.get("PhotometricInterpretation"))
    if samples == 1 and colours != "PALETTE COLOR":
        return ""
    return f"{'colours of a palette' if samples == 1 else f'{samples} numbers per voxel'} ({quoted(colours)})"


def picture_of(header: Dataset) -> str:
    """Why an image is a picture rather than part of a volume: it is in colour, or was made of or about images and is
    nowhere in the patient; "" where it is none."""
    if colours := colours_of(header):
        return f"holds {colours}: a picture in colour"
    placed = "ImagePositionPatient" in header or int(header.get("NumberOfFrames") or 1) > 1
    kind = image_type(header)
    made = "SECONDARY" in kind[:2] or not SCREENS.isdisjoint(kind[2:])
    return "is a picture that is nowhere in the patient, made of or about images" if made and not placed else ""


def localizer(header: Dataset) -> str:
    """What of its header says that an image was made to plan the scan that follows; "" where nothing does."""
    if not {"LOCALIZER", "SCOUT"}.isdisjoint(image_type(header)):
        return "ImageType"
    words = PLANNING | ({"survey"} if header.get("Modality") == "MR" else set())
    said = str(header.get("SeriesDescription") or "").casefold()
    return "SeriesDescription" if any(word in said for word in words) else ""


def shows_views(planes: Sequence[Sequence[float] | NDArray[np.float64]], counts: Sequence[int]) -> bool:
    """Whether images of these orientations [6], so many of each, are views in all directions, as localizers of three
    planes and turning projections are: no direction has enough for a volume."""
    if len(planes) < VIEWS or max(counts) >= FEW:
        return False
    normals = np.array([np.cross(plane[:3], plane[3:]) for plane in planes])
    return bool(np.abs(normals @ normals.T).min() < APART)
