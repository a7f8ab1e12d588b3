"""LUNA16: patches around the rows of candidates.csv, in Hounsfield units over 100 (section 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.folder import OTHER
from maescan.datasets.items import LabelledScan
from maescan.datasets.luna16_table import draw, listed
from maescan.datasets.members import read_member
from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError
from maescan.method.candidates import BELONG, Candidates, read_candidates, told_outside
from maescan.method.gate import other_kind
from maescan.method.patches import crop_patches, to_view
from maescan.scans import axial_view, find_scans

NAMES = ("candidates.csv", "candidates_V2.csv")


def find_luna16(path: Path, split_dir: Path | None = None, seed: int = 0) -> list[LabelledScan]:
    """The CTs of a LUNA16 tree: .mhd files at any depth, candidates.csv (else candidates_V2.csv) in it or one folder
    below; or `path` is the table itself. None where there is no table.

    Rows are drawn by `seed` in the paper's counts (in its shares where there are fewer), nodules only for validation
    and test; or they are those that the authors' files in `split_dir` name. A CT that is not there has no rows.
    """
    table = _table(path)
    if table is None:
        return []
    rows = read_candidates(table)
    scans = _scans(path if path.is_dir() else path.parent)
    there = np.isin(rows.series, list(scans))
    if not there.any():
        remedy = "unpack subset0 to subset9 beside it; a row names its CT's .mhd, without the extension"
        raise DataError("there is no .mhd of any series in it", path=table, remedy=remedy)
    parts = draw(rows.label, there, seed) if split_dir is None else listed(rows, there, split_dir)
    chosen = np.array(sorted(parts), np.int64)
    if not len(chosen):
        raise DataError("none of its rows is of a series that is there", path=split_dir, remedy="unpack more subsets")
    items, note = [], f"LUNA16, patches and labels of {table.name}{_not_there(rows, scans)}"
    for series in np.unique(rows.series[chosen]):
        own = chosen[rows.series[chosen] == series]
        file = scans[str(series)]
        files = (file, *sorted(file.parent.glob(f"{file.stem}.*raw")))
        read = partial(read_patches, str(series), file, own, rows.place[own], rows.label[own])
        detail = hashlib.sha256(own.tobytes() + rows.place[own].tobytes() + rows.label[own].tobytes()).hexdigest()
        split = {int(row): parts[int(row)] for row in own}
        items.append(LabelledScan(str(series), files, read, detail, split, note=note))
    return items


def _not_there(rows: Candidates, scans: Mapping[str, Path]) -> str:
    """What is left out, rows of CTs that are not there and CTs that no row names; and what contradicts itself."""
    named = set(rows.series.tolist())
    counts = {"series without a CT": len(named - set(scans)), "CTs without a row": len(set(scans) - named)}
    counts["places with rows of class 0 and of class 1"] = len(_places(rows, 0) & _places(rows, 1))
    each = np.column_stack([np.unique(rows.series, return_inverse=True)[1], rows.place, rows.label])
    counts["rows that come twice"] = len(each) - len(np.unique(each, axis=0))
    return "".join(f", {words}: {count}" for words, count in counts.items() if count)


def _places(rows: Candidates, label: int) -> set[tuple[str, tuple[float, ...]]]:
    """Where rows of one class are, of those that may be where one of the other is too."""
    nodule, x = rows.label == 1, rows.place[:, 0]
    own = (rows.label == label) & np.isin(x, x[nodule]) & np.isin(x, x[~nodule])
    return set(zip(rows.series[own].tolist(), map(tuple, rows.place[own].tolist()), strict=True))


def _scans(folder: Path) -> dict[str, Path]:
    """The CTs below a folder by their series. LUNA16's lung masks have the CTs' names and are none. Raises DataError
    for two files of one series."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*.mhd")):
        if any(part.casefold().startswith("seg-lungs") for part in file.relative_to(folder).parts[:-1]):
            continue
        if file.stem in found:
            remedy = f"move one of it and {found[file.stem]} out of the folder"
            raise DataError("is there twice", path=file, remedy=remedy)
        found[file.stem] = file
    return found


def _table(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name in NAMES else None
    places = (file for name in NAMES for pattern in (name, f"*/{name}") for file in sorted(path.glob(pattern)))
    return next(places, None)


def read_patches(
    series: str,
    file: Path,
    rows: NDArray[np.int64],
    place: NDArray[np.float64],
    label: NDArray[np.int8],
    preset: Preset,
) -> SliceSet:
    """The axial patches around places [N, 3] (RAS+ mm) of one CT, which is read once: as many voxels wide as the
    model's image, at the CT's own resolution; beside the CT there is air. `slice` is the row in candidates.csv.

    Raises DataError for a place outside the CT, and for one whose values are no Hounsfield units.
    """
    scan = read_member(find_scans([file])[0])
    if other := other_kind(scan, preset).replace("the bundle judges", f"preset '{preset.name}' is for"):
        raise DataError(other, path=file, remedy=OTHER)
    view, axes = axial_view(scan)
    centres = to_view(place, scan, axes, view.shape)
    if beside := told_outside(place, centres, view.shape, rows):
        raise DataError(beside, path=file, remedy=BELONG)
    patches = crop_patches(view, axes, centres, scan, preset)
    return SliceSet(patches.images, np.repeat(series, len(rows)), rows, label, patches.area, key=patches.keys)
