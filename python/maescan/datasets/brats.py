"""BraTS2020, the NIfTI release: one folder a patient, one file a modality, labels from the segmentation (4.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError

MODALITIES = ("t1", "t1ce", "t2", "flair")


def find_patients(path: Path) -> list[Path]:
    """Patient folders, `NAME/NAME_MODALITY.nii.gz`, below `path` (or `path` itself)."""
    folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else []
    return [f for f in folders if any((f / f"{f.name}_{m}.nii.gz").is_file() for m in MODALITIES)]


def load_brats(path: Path, preset: Preset, modality: str | None = None) -> SliceSet:
    """Every slice of every patient; abnormal where the segmentation marks any tumour. `modality` defaults to t1.

    Raises DataError where the modality is missing, naming those present; ScanError for a file that cannot be read.
    """
    modality = modality or "t1"
    if modality not in MODALITIES:
        raise DataError(f"unknown modality '{modality}'", path=path, remedy=f"use one of {', '.join(MODALITIES)}")
    return SliceSet.join([_patient(folder, preset, modality) for folder in find_patients(path)])


def _patient(folder: Path, preset: Preset, modality: str) -> SliceSet:
    from maescan.preprocess import prepare, to_grid
    from maescan.scans import axial_view, find_scans, read_scan

    file = folder / f"{folder.name}_{modality}.nii.gz"
    if not file.is_file():
        present = [m for m in MODALITIES if (folder / f"{folder.name}_{m}.nii.gz").is_file()]
        raise DataError(f"has no {modality}", path=folder, remedy=f"use --modality {' or '.join(present)}")
    prepared = prepare(read_scan(find_scans([file])[0]), preset)
    count = len(prepared.images)
    label, mask = np.full(count, -1, np.int8), None
    segmentation = folder / f"{folder.name}_seg.nii.gz"
    if segmentation.is_file():
        lesions = axial_view(read_scan(find_scans([segmentation])[0]))[0] > 0
        if len(lesions) != count:
            raise DataError(
                f"{len(lesions)} slices, its scan has {count}", path=segmentation, remedy="export it anew"
            )
        label, mask = lesions.any(axis=(1, 2)).astype(np.int8), to_grid(lesions, prepared)
    facts: dict[str, Any] = {"patient": np.repeat(folder.name, count), "slice": np.arange(count)}
    return SliceSet(prepared.images, **facts, label=label, area=prepared.area, mask=mask)
