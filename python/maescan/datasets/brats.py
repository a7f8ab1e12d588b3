"""BraTS2020, the NIfTI release: one folder a patient, one file a modality, labels from the segmentation (4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from maescan.config import Preset
from maescan.datasets.folder import read_mask
from maescan.datasets.items import Item
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.splits import split_patients, volume_split
from maescan.errors import ConfigError, DataError

MODALITIES = ("t1", "t1ce", "t2", "flair")


def checked_modality(modality: str | None) -> str:
    """The modality, t1 (the paper's native one) by default. Raises ConfigError for another."""
    if modality is not None and modality not in MODALITIES:
        raise ConfigError(f"unknown modality '{modality}'", remedy=f"use one of {', '.join(MODALITIES)}")
    return modality or "t1"


def find_patients(path: Path) -> list[Path]:
    """Patient folders, `NAME/NAME_MODALITY.nii.gz`, below `path` (or `path` itself)."""
    folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else []
    return [f for f in folders if any((f / f"{f.name}_{m}.nii.gz").is_file() for m in MODALITIES)]


def find_brats(path: Path, modality: str | None = None, split_dir: Path | None = None, seed: int = 0) -> list[Item]:
    """The patients of a BraTS2020 tree, none where `path` is no such tree. They are split by patient, drawn by `seed`
    in the paper's shares, or as the files in `split_dir` say: their volume V is the patient whose folder ends in V.

    Raises DataError where the modality is missing, naming those present; ConfigError for an unknown one.
    """
    folders, chosen = find_patients(path), checked_modality(modality)
    if not folders:
        return []
    lists = volume_split(split_dir) if split_dir else None
    drawn = None if lists is not None else split_patients((f.name for f in folders), seed)
    items = []
    for folder in folders:
        files = {m: folder / f"{folder.name}_{m}.nii.gz" for m in (*MODALITIES, "seg")}
        present = [m for m, file in files.items() if file.is_file()]
        if chosen not in present:
            remedy = f"use --modality {' or '.join(m for m in present if m != 'seg')}"
            raise DataError(f"has no {chosen}", path=folder, remedy=remedy)
        mask = files["seg"] if "seg" in present else None
        own = tuple(file for file in (files[chosen], mask) if file)
        split = listed(lists, folder.name) if lists is not None else drawn[folder.name] if drawn else None
        items.append(Item(folder.name, own, partial(read_patient, folder.name, files[chosen], mask), chosen, split))
    return items


def listed(lists: Mapping[int, Mapping[int, str]], name: str) -> Mapping[int, str]:
    """slice -> part of the patient whose name ends in its volume's number."""
    digits = name[len(name.rstrip("0123456789")) :]
    return lists.get(int(digits), {}) if digits else {}


def read_patient(name: str, file: Path, segmentation: Path | None, preset: Preset) -> SliceSet:
    """Every slice of one patient; abnormal where the segmentation marks any tumour, unknown without one."""
    from maescan.preprocess import prepare, to_grid
    from maescan.scans import find_scans, read_scan

    scan = read_scan(find_scans([file])[0])
    prepared = prepare(scan, preset)
    count = len(prepared.images)
    names, numbers, label = np.repeat(name, count), np.arange(count), np.full(count, -1, np.int8)
    if segmentation is None:
        return SliceSet(prepared.images, names, numbers, label, prepared.area)
    lesions = read_mask(find_scans([segmentation])[0], scan)
    label = np.asarray(lesions.any(axis=(1, 2)), np.int8)
    return SliceSet(prepared.images, names, numbers, label, prepared.area, to_grid(lesions, prepared))
