"""DICOM series as they come into an inbox, slice by slice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from helpers.inputs import given
from helpers.scan_files import dicom_slice

SIDE = 24


def write_slices(
    folder: Path, numbers: Iterable[int], *, uid: str = "1.2.9", patient: str = "A", total: int | None = None
) -> list[Path]:
    """Slices of an MR series 5 mm apart, numbered from 0; total: how many its headers say there are."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in numbers:
        values = np.random.default_rng(number).integers(200, 900, (SIDE, SIDE)).astype(np.uint16)
        tags = {"Modality": "MR", "PatientID": patient, "SeriesInstanceUID": uid, "StudyInstanceUID": f"{uid}.1"}
        more = {"InstanceNumber": number + 1, "ImagesInAcquisition": total, "PixelSpacing": [10, 10]}
        dataset = dicom_slice(values, (0, 0, 5.0 * number), **tags, **more)
        path = folder / f"{patient}-{uid}-{number:03d}"
        dataset.save_as(path, enforce_file_format=True)
        found.append(given(path))
    return found
