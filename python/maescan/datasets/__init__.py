"""Labelled slices from any folder of scans."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.datasets.brats import find_patients, load_brats
from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError

__all__ = ["SliceSet", "load"]


def load(path: Path, preset: Preset, *, modality: str | None = None, **_: Any) -> SliceSet:
    """A folder of scans; labels.csv (scan, slice, label) beside them decides, else every slice is healthy."""
    from maescan.preprocess import prepare
    from maescan.scans import find_scans, read_scan

    path = Path(path)
    if not path.exists():
        raise DataError("does not exist", path=path, remedy="give a folder of scans")
    if find_patients(path):
        return load_brats(path, preset, modality)
    sources = [s for s in find_scans([path]) if "masks" not in Path(s.name).parts]
    if not sources:
        raise DataError("no scans found", path=path, remedy="see which files maescan reads with `maescan inspect`")
    labels = _labels(path)
    parts = []
    for source in sources:
        prepared = prepare(read_scan(source), preset)
        count = len(prepared.images)
        label = np.array([labels.get((source.name, i), -1) if labels else 0 for i in range(count)], np.int8)
        names = np.repeat(source.name, count)
        parts.append(SliceSet(prepared.images, names, np.arange(count), label, prepared.area))
    return SliceSet.join(parts)


def _labels(path: Path) -> dict[tuple[str, int], int]:
    file = path / "labels.csv"
    if not file.is_file():
        return {}
    with open(file, newline="") as stream:
        return {(row["scan"], int(row["slice"])): int(row["label"]) for row in csv.DictReader(stream)}
