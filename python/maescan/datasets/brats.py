"""BraTS, the NIfTI releases: one folder per patient, one file per modality, labels from the segmentation (4.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from maescan.config import Preset
from maescan.datasets.folder import read_mask
from maescan.datasets.items import LabelledScan, Listed
from maescan.datasets.members import read_member
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.splits import split_patients, volume_split
from maescan.datasets.subjects import subjects_of
from maescan.errors import ConfigError, DataError
from maescan.scans.source import format_of
from maescan.scans.walk import walk

MODALITIES = ("t1", "t1ce", "t2", "flair")
SINCE_2023 = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}


def checked_modality(modality: str | None) -> str:
    """The modality by its name of before 2023; native t1, the paper's, by default. Raises ConfigError for another."""
    modality = SINCE_2023.get(modality or "", modality)
    if modality is not None and modality not in MODALITIES:
        raise ConfigError(f"unknown modality '{modality}'", remedy=f"use one of {', '.join(MODALITIES)}")
    return modality or "t1"


def find_patients(path: Path) -> dict[Path, dict[str, Path]]:
    """Patient folders at any depth below `path`, links to them too, or `path` itself: modality, or seg, ->
    NAME/NAME_MODALITY.nii.gz (or .nii, as some editions have it), since 2023 NAME/NAME-MODALITY.nii.gz."""
    patients: dict[Path, dict[str, Path]] = {}
    for file in _files(path, "*.nii*") if path.is_dir() else []:
        stem = file.name.removesuffix(".gz").removesuffix(".nii")
        name = Path(os.path.realpath(file.parent)).name
        modality = stem.removeprefix(name)[1:] if stem.startswith((f"{name}_", f"{name}-")) else ""
        if modality in (*MODALITIES, *SINCE_2023, "seg"):
            patients.setdefault(file.parent, {})[SINCE_2023.get(modality, modality)] = file
        elif stem.endswith("_Segm"):  # as the public edition of BraTS2020 calls patient 355's
            patients.setdefault(file.parent, {}).setdefault("seg", file)
    return {folder: files for folder, files in sorted(patients.items()) if set(files) - {"seg"}}


def find_brats(
    path: Path, modality: str | None = None, split_dir: Path | None = None, seed: int = 0
) -> list[LabelledScan]:
    """The patients of a BraTS2020 tree, none where `path` is no such tree. They are split by patient, drawn by `seed`
    in the paper's shares, or as the files in `split_dir` say: their volume V is the patient whose folder ends in V.

    Raises DataError where the modality is missing, naming those present; ConfigError for an unknown one.
    """
    patients = find_patients(path)
    if not patients:
        return []
    chosen = checked_modality(modality)
    lists = volume_split(split_dir) if split_dir else None
    whose = subjects_of([folder.name for folder in patients])
    if lists is not None and (later := next((f for f in patients if f.name not in whose), None)):
        reason = "is no patient of BraTS2020, which --split-dir is for"
        raise ConfigError(reason, path=later, remedy="leave it out: patients are split by --seed")
    drawn = None if lists is not None else split_patients(whose, seed)
    others = sorted(set().union(*patients.values()) - {chosen, "seg"})
    note = f"BraTS, {chosen}" + (f" (--modality {' or '.join(others)} would take another)" if others else "")
    labelled = any("seg" in files for files in patients.values())
    note += f", {'labels of seg' if labelled else 'no seg, so no labels'}{_beside(path, patients)}"
    items = []
    for folder, files in patients.items():
        if chosen not in files:
            remedy = f"use --modality {' or '.join(m for m in MODALITIES if m in files)}"
            raise DataError(f"has no {chosen}", path=folder, remedy=remedy)
        mask = files.get("seg")
        own = tuple(file for file in (files[chosen], mask) if file)
        said = listed(lists, folder.name) if lists is not None else {}
        read = partial(read_patient, folder.name, files[chosen], mask)
        part = part_of(folder.name, lists, said, drawn)
        items.append(LabelledScan(folder.name, own, read, chosen, part, said, note))
    return items


def _files(path: Path, pattern: str) -> list[Path]:
    """Files below a folder, as every search finds them: links to folders are followed."""
    return sorted(file for file in walk(path) if isinstance(file, Path) and file.match(pattern))


def _beside(path: Path, patients: dict[Path, dict[str, Path]]) -> str:
    """Names what lies in a BraTS tree, is a scan by its name, and is not taken: it is of no patient of BraTS."""
    found = (file for file in _files(path, "*") if file.parent not in patients and format_of(file))
    others = [file.relative_to(path).as_posix() for file in found]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"; not taken, as of no patient of BraTS: {others[0]}{more}" if others else ""


def part_of(
    name: str,
    lists: Mapping[int, Mapping[int, Listed]] | None,
    said: Mapping[int, Listed],
    drawn: Mapping[str, str] | None,
) -> str | Mapping[int, str] | None:
    """`LabelledScan.split`: of the split files `lists`, which have `said` something of it, else as it was `drawn`."""
    if lists is not None:
        return {number: line.part for number, line in said.items()}
    return drawn[str(subjects_of([name])[0])] if drawn else None


def listed(lists: Mapping[int, Mapping[int, Listed]], name: str) -> Mapping[int, Listed]:
    """slice -> what split files say of the patient whose name ends in its volume's number."""
    digits = name[len(name.rstrip("0123456789")) :]
    return lists.get(int(digits), {}) if digits else {}


def read_patient(name: str, file: Path, segmentation: Path | None, preset: Preset) -> SliceSet:
    """Every slice of one patient; abnormal where the segmentation marks any tumour, unknown without one."""
    from maescan.method.preprocess import prepare, to_grid
    from maescan.scans import find_scans

    scan = read_member(find_scans([file])[0])
    prepared = prepare(scan, preset)
    count = len(prepared.images)
    names, numbers, label = np.repeat(name, count), np.arange(count), np.full(count, -1, np.int8)
    if segmentation is None:
        return SliceSet(prepared.images, names, numbers, label, prepared.area)
    lesions = read_mask(find_scans([segmentation])[0], scan)
    label = np.asarray(lesions.any(axis=(1, 2)), np.int8)
    return SliceSet(prepared.images, names, numbers, label, prepared.area, to_grid(lesions, prepared))
