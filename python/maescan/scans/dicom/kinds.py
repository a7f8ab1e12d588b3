"""What a DICOM object is, by its SOP class: an image of a patient, or something made of or about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maescan.errors import quoted

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SCANS = ("Image Storage", "Enhanced US Volume Storage")
MADE = ("Secondary Capture", "RT ", "Hardcopy")
"""Images in name: screenshots, portal images and doses, prints."""
RESULTS = {
    *("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTIMAGE", "DOC", "REG", "FID", "PLAN"),
    *("ECG", "AU", "RWV", "SMR", "ANN", "HC"),
}
"""Modalities that are no scans, where the SOP class is missing or a vendor's own."""


def result_of(header: Dataset) -> str:
    """What an object is that is no scan: a report, a segmentation, a map, a screenshot ...; '' for a scan."""
    kind = header.get("SOPClassUID") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    name = str(getattr(kind, "name", "") or "")
    named = name != "" and not name[0].isdigit()  # the UID itself stands for one that nobody knows
    if named and (not any(word in name for word in SCANS) or any(word in name for word in MADE)):
        known = name != str(kind)
        return name.removesuffix(" Storage") if known else f"object of class {quoted(name)}"
    modality = str(header.get("Modality") or "")
    if modality in RESULTS:
        return f"object of modality {modality}"
    vendors = kind is not None and not str(kind).startswith("1.2.840.10008.")
    return "object of a vendor's own kind" if vendors and "Rows" not in header else ""
