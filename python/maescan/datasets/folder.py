"""Any folder of scans: all healthy, or labelled by labels.csv or by lesion masks in masks/."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.ill import MASKS, refuse_drawn, refuse_ill
from maescan.datasets.items import LabelledScan
from maescan.datasets.members import (
    LABELS,
    columns_not_read,
    read_member,
    refuse_other_labels,
    tables_not_read,
)
from maescan.datasets.sliceset import SliceSet
from maescan.datasets.subjects import contrast_of, stem_of
from maescan.datasets.table import NOTHING, Labels, Table, check_parts, read_table, whose_of
from maescan.errors import DataError, ScanError, typed
from maescan.scans import Scan, ScanSource
from maescan.scans.read import read_as_stored
from maescan.scans.scan import axial_axes
from maescan.scans.search import search_all
from maescan.scans.source import READ, PassedOver


def find_folder(path: Path) -> list[LabelledScan]:
    """The scans under `path`, without those in a folder named masks.

    labels.csv labels the slices it names, and leaves others unknown; without it a slice is abnormal where its scan's
    mask marks a voxel, and a scan without a mask, or a folder without masks/, is healthy. A mask has its scan's path,
    or its file name, but for the folder masks/ in it: masks/a/b.nii.gz and a/masks/b.nii.gz are of a/b.nii.gz.
    Localizers and other pictures of no volume are passed over, as `score` does.
    Raises ScanError for a folder that cannot be searched, DataError for one without scans, for labels or masks that
    no scan belongs to, and for a table of labels that would not be read.
    """
    everything = search_all([path])
    found = everything.sources
    _refuse_unsearched(path, found)
    scans = [s for s in found if "masks" not in Path(s.name).parts[:-1]]
    if maps := [s for s in scans if called_a_mask(s.name)]:
        reason = f"is a label map by its name, no scan{f', as {len(maps) - 1} more are' if len(maps) > 1 else ''}"
        raise DataError(reason, path=maps[0].path, remedy=_MAP)
    if not scans:
        raise DataError("no scans found", path=path, remedy=f"{READ}; see docs/formats.md")
    refuse_other_labels(path)
    masks = _match(scans, [s for s in found if "masks" in Path(s.name).parts[:-1]])
    table = read_table(path / LABELS, [source.name for source in scans])
    whose = whose_of(scans, table or {})
    check_parts(whose, table or {}, path / LABELS)
    volumes = [source for source in scans if not source.picture] or scans
    bare = [source.name for source in volumes if source.name not in masks]
    if table is None:
        refuse_ill(path, bare, beside=not masks)
    refuse_drawn(path, everything.passed_over, bare if table is None else (), masks=bool(masks))
    note = _note(table is not None, bool(masks), len(bare)) + _contrasts(volumes) + _unread(everything.passed_over)
    note += _pictures([source.name for source in scans if source not in volumes])
    note += columns_not_read(path / LABELS) + tables_not_read(path)
    parted = table is not None and any(said.split for said in table.values())
    items = [_item(source, masks.get(source.name), table, bool(masks)) for source in volumes]
    return [replace(item, split=item.split if parted else None, whose=whose[item.name], note=note) for item in items]


def _refuse_unsearched(path: Path, found: list[ScanSource]) -> None:
    """Raises ScanError for a folder whose content is not known: `path` itself, and any below it where labels or masks
    may lie in it, or be of what lies in it."""
    labelled = os.path.lexists(path / LABELS) or any("masks" in Path(source.name).parts for source in found)
    for source in found:
        if source.files == (source.path,) and source.path.is_dir() and (labelled or source.path == path):
            raise source.fault or ScanError(
                "is a folder that cannot be searched", path=source.path, remedy="check its permissions"
            )


def called_a_mask(name: str) -> bool:
    """Whether a scan's path says that it is a label map: labelsTr/a.nii.gz, Masks/a.nii.gz, a_seg.nii.gz, and
    LUNA16's seg-lungs-LUNA16/a.mhd."""
    *folders, file = Path(stem_of(name).lower()).parts
    return any(map(MASKS.fullmatch, folders)) or bool(_MASK.search(file))


_MASK = re.compile(
    r"(?:^|[_.-])(?:(?:mask|seg|segm|segmentation|label|labels|labelmap|dseg|probseg|annotation|gt|roi)\d*"
    r"|ground[_-]?truth|(?:aparc[\w.]*\+)?aseg|wmparc|(?:[lr]h\.)?ribbon)$"
)


def _note(labelled: bool, masked: bool, bare: int) -> str:
    if labelled:
        return f"labels of {LABELS}" + (", lesions of masks/" if masked else "")
    if masked:
        return "labels of masks/" + (f", {bare} without a mask taken as healthy" if bare else "")
    return f"no {LABELS} and no masks/, so all are taken as healthy"


def _contrasts(scans: Iterable[ScanSource]) -> str:
    """Names the contrasts of a set that has several by its names: one model is of one."""
    counts = Counter(filter(None, (contrast_of(source.name) for source in scans)))
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"; several contrasts by their names ({told}), where a model is of one" if len(counts) > 1 else ""


def _pictures(names: list[str]) -> str:
    """Names what is passed over as `score` passes it over: localizers, projections, screenshots."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"; passed over, as no volumes of anatomy: {names[0]}{more}" if names else ""


def _unread(passed_over: Iterable[PassedOver]) -> str:
    """Names scans of kinds that are not read: they are not of the set."""
    found = [item.name for item in passed_over if item.why == "unread"]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"; scans of kinds that are not read: {found[0]}{more}" if found else ""


def _item(source: ScanSource, mask: ScanSource | None, table: Table | None, masked: bool) -> LabelledScan:
    said = (table or {}).get(source.name, NOTHING)
    own = None if table is None else said.labels
    files = source.files + (mask.files if mask else ())
    read = partial(read_labelled, source, mask, own, masked=masked)
    detail = [masked, None if own is None else sorted(map(str, own.items()))]
    return LabelledScan(source.name, files, read, detail, said.split)


def read_labelled(
    source: ScanSource, mask: ScanSource | None, labels: Labels | None, preset: Preset, *, masked: bool
) -> SliceSet:
    """The slices of one scan. labels: None where the masks decide. masked: a scan without a mask has no lesion.
    Raises ScanError, and DataError for a label map and for labels that the mask contradicts."""
    from maescan.method.gate import is_label_map, other_kind
    from maescan.method.preprocess import prepare, to_grid

    scan = read_member(source)
    if is_label_map(scan):
        raise DataError(IS_MAP, path=scan.path, remedy=_MAP)
    if other := other_kind(scan, preset).replace("the bundle judges", f"preset '{preset.name}' is for"):
        raise DataError(other, path=scan.path, remedy=OTHER)
    prepared = prepare(scan, preset)
    count = len(prepared.images)
    lesions = read_mask(mask, scan) if mask else np.zeros((count, *prepared.in_plane), bool) if masked else None
    if labels is not None:
        label = _label(labels, count, source)
        if mask is not None and lesions is not None:
            _check_mask(mask, lesions, label, source.name)
        if mask is None and (label != 0).any():
            lesions = None  # it may have lesions that nobody drew
    else:
        label = np.zeros(count, np.int8) if lesions is None else np.asarray(lesions.any(axis=(1, 2)), np.int8)
    drawn = None if lesions is None else to_grid(lesions, prepared)
    names = np.repeat(source.name, count)
    return SliceSet(prepared.images, names, np.arange(count), label, prepared.area, drawn)


def _check_mask(mask: ScanSource, lesions: NDArray[np.bool_], label: NDArray[np.int8], scan: str) -> None:
    """Raises DataError where healthy slices, which are trained on, hold lesions, or an ill scan's mask holds none. A
    slice may be abnormal without a mark in a mask that has others: where a lesion ends is a matter of opinion."""
    marked = lesions.any(axis=(1, 2))
    if len(wrong := np.flatnonzero(marked & (label == 0))):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        reason = f"marks a lesion in slice {wrong[0]}{more} of {scan}, which {LABELS} calls healthy"
        raise DataError(reason, path=mask.path, remedy=f"label it 1 in {LABELS}, or mend the mask")
    if not marked.any() and (label == 1).any():
        reason = f"is empty, and {LABELS} calls slice {np.flatnonzero(label == 1)[0]} of {scan} abnormal"
        remedy = f"label it 0 in {LABELS}, or draw the lesion; without the mask no set is judged by pixels"
        raise DataError(reason, path=mask.path, remedy=remedy)


def read_mask(source: ScanSource, scan: Scan) -> NDArray[np.bool_]:
    """Where a mask on its scan's grid, stored along whatever axes, is over 0, as axial slices [S, H, W]. Raises
    DataError for another grid."""
    mask = stored_as(read_member(source, read_as_stored), scan)
    if mask.shape != scan.shape:
        sizes = [" x ".join(map(str, shape)) for shape in (mask.shape, scan.shape)]
        raise DataError(f"has {sizes[0]} voxels, its scan {sizes[1]}", path=source.path, remedy=_GRID)
    if not _alike(mask, scan):
        raise DataError("lies elsewhere than its scan (another affine)", path=source.path, remedy=_GRID)
    zero = -mask.intercept / mask.slope  # the voxel that measures 0
    found: NDArray[np.bool_] = mask.voxels > zero if mask.slope > 0 else mask.voxels < zero
    check_share(found, source.path)
    if not found.any() and (mask.voxels != zero).any():
        reason = "has values below 0 and none over it: whether they are a lesion cannot be told"
        raise DataError(reason, path=source.path, remedy=MARKS)
    return np.ascontiguousarray(axial_axes(scan.affine).to_axial(found))


def check_share(lesions: NDArray[np.bool_], path: Path) -> None:
    """Raises DataError where a mask marks more than lesions: its background is not 0."""
    if (share := float(lesions.mean())) > MOST:
        raise DataError(f"marks {share:.0%} of all voxels as a lesion, its background too", path=path, remedy=MARKS)


def stored_as(mask: Scan, scan: Scan) -> Scan:
    """A mask with its axes in the order and the directions of its scan's: tools write the same voxels in either."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

    if mask.shape == scan.shape and _alike(mask, scan):
        return mask  # turned by 45 degrees, two roundings of one affine have two orders
    turn = ornt_transform(io_orientation(mask.affine), io_orientation(scan.affine))
    affine = mask.affine @ inv_ornt_aff(turn, mask.shape)
    return replace(mask, voxels=apply_orientation(mask.voxels, turn), affine=affine)


def _alike(mask: Scan, scan: Scan) -> bool:
    """Whether voxels of the same indices lie in the same place."""
    return np.allclose(mask.affine, scan.affine, atol=0.01 * min(scan.spacing))


MOST = 0.5  # share of all voxels, air among them, that a lesion may have
MARKS = "write it with 0 where there is no lesion, and 1 in one"
IS_MAP = "is a label map, no scan"
_MAP = "masks of lesions belong into a folder called masks, other label maps elsewhere"
OTHER = "leave it out: `score` gives no scan of another kind a p-value; or train with a preset for it"
_GRID = "draw it on the scan's own grid, or resample it"


def _label(labels: Labels, count: int, source: ScanSource) -> NDArray[np.int8]:
    made = np.full(count, labels.get(None, -1), np.int8)
    for number, value in labels.items():
        if number is None:
            continue
        if not 0 <= number < count:
            reason = f"labels.csv names slice {number}, it has {count}"
            raise DataError(reason, path=source.path, remedy=f"slices count from 0, the lowest, to {count - 1}")
        made[number] = value
    return made


def _match(scans: list[ScanSource], masks: Iterable[ScanSource]) -> dict[str, ScanSource]:
    """scan's name -> its mask, by path without masks/ or by file name, whatever the extensions."""
    of: dict[str, list[str]] = {}
    for source in scans:
        stem = stem_of(source.name)
        for key in {stem, stem.rsplit("/", 1)[-1]}:
            of.setdefault(key, []).append(source.name)
    found = dict[str, ScanSource]()
    for mask in masks:
        names = of.get("/".join(part for part in stem_of(mask.name).split("/") if part != "masks"), [])
        if len(names) != 1:
            reason = f"is the mask of {' and of '.join(names[:3])}" if names else "is the mask of no scan"
            near = max(names or [source.name for source in scans], key=partial(_alike_at_first, mask.name))
            ending = "" if stem_of(near) != near else ".nii.gz"
            remedy = f"give it its scan's path, below masks/: masks/{near}{ending} is of {near}"
            raise DataError(reason, path=mask.path, remedy=remedy)
        if (other := found.setdefault(names[0], mask)) is not mask:
            reason = f"is a second mask of {names[0]}, beside {typed(other.path)}"
            raise DataError(reason, path=mask.path, remedy="leave one of them, or put both into one")
    return found


def _alike_at_first(mask: str, scan: str) -> int:
    """How many characters a mask's name begins with as its scan's, or the folder of a series, does."""
    pairs = (zip(Path(mask).name, part, strict=False) for part in Path(scan).parts)
    return max(len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pair))) for pair in pairs)
