"""CT by regions (paper, section 4.1): patches as wide as the model's image at the CT's own resolution, around the
candidates of a table or tiling the lungs. Each patch is scored as a slice is."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.content import sha256
from maescan.errors import ConfigError, DataError, ScanError, quoted, require, typed
from maescan.method.candidates import BELONG, Candidates, read_candidates, told_outside
from maescan.method.intensity import outside_training
from maescan.method.lungs import lungs, tiles
from maescan.method.patches import crop_patches, to_view
from maescan.options import CandidateTable, LungTiles
from maescan.scans import Scan, ScanSource, axial_view
from maescan.scans.budget import check_slices
from maescan.scans.scan import missing_slices
from maescan.scans.source import EXTENSIONS


@dataclass(frozen=True)
class Regions:
    """What `preprocess.Prepared` is for slices. images [N, H, W]; area [N]; corners [N, 3]: slice, row, column of
    each patch in the axial view (may lie beside it); keys [N]: of their masks; places [N, 3]: of their middles, or of
    the candidates that they are around, RAS+ mm; fit: of `patches.Patches`."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]
    warnings: tuple[str, ...]
    corners: NDArray[np.int64]
    side: int
    shape: tuple[int, ...]
    axes: Any
    keys: NDArray[np.uint64]
    places: NDArray[np.float64]
    fit: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[int, ...]:
        """The axial slice of each patch."""
        return tuple(self.corners[:, 0].tolist())

    def score_map(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """scores [N] -> volume on the scan's own grid: the mean score of a voxel's patches, 0 where there is none."""
        total, count = np.zeros(self.shape, np.float32), np.zeros(self.shape, np.uint16)
        for (level, top, left), score in zip(self.corners, scores, strict=True):
            span = level, slice(max(top, 0), top + self.side), slice(max(left, 0), left + self.side)
            total[span] += score
            count[span] += 1
        return np.ascontiguousarray(self.axes.to_storage(total / np.maximum(count, 1)), dtype=np.float32)


def check(preset: Preset, asked: CandidateTable | LungTiles | None) -> None:
    """Raises ConfigError for regions of anything but CT at its own resolution, for such a bundle without them, and
    for tiles without scipy; DataError for a table that cannot be read."""
    if asked and not preset.patches:
        raise ConfigError(f"preset '{preset.name}' scores whole slices", remedy="leave out --candidates and --tile")
    if preset.patches and not asked:
        raise ConfigError(f"preset '{preset.name}' scores patches of a CT", remedy="use --tile or --candidates TABLE")
    if isinstance(asked, CandidateTable):
        _table(asked)
    if isinstance(asked, LungTiles):
        require("scipy", "--tile")


def way_of(asked: CandidateTable | LungTiles) -> str:
    """The option that asks for such regions, as a bundle's calibration has it."""
    return "tile" if isinstance(asked, LungTiles) else "candidates"


def check_reference(manifest: Json, asked: CandidateTable | LungTiles | None) -> None:
    """Raises ConfigError where a bundle was calibrated by regions of the other kind: the highest of a thousand tiles
    and of a few candidates are no scores to compare. One that an older maescan calibrated does not tell."""
    before = (manifest.get("calibration") or {}).get("regions")
    if asked and before and before != (way := way_of(asked)):
        reason = (
            f"the bundle's healthy scans were scored by --{before}: p-values of --{way} would be of another thing"
        )
        raise ConfigError(reason, remedy=f"score by --{before}, or calibrate a copy of the bundle by --{way}")


FEW = 8
"""Patches that say too little of a scan's values to tell whether they are like training's."""


def cut(
    scan: Scan,
    source: ScanSource,
    preset: Preset,
    option: CandidateTable | LungTiles,
    *,
    expected: Mapping[str, Sequence[float]] | None = None,
) -> Regions:
    """The patches of one CT. expected: as `preprocess.prepare` takes it. Raises ScanError: no candidate, one outside
    of it, no lungs; DataError for a table that is no longer what it was."""
    view, axes = axial_view(scan)
    side = preset.model.image_size
    notes: tuple[str, ...] = ()
    places, half = None, np.array([0, side // 2, side // 2])
    if isinstance(option, CandidateTable):
        if "irregular-spacing" in scan.meta.get("accepted", ()):
            reason = "its slices are not evenly apart: which one a candidate lies in is not known"
            raise ScanError(reason, path=scan.path, remedy="resample it evenly")
        rows, places, notes = _candidates(source, option)
        centres = to_view(places, scan, axes, view.shape)
        if beside := told_outside(places, centres, view.shape, rows):
            raise ScanError(beside, path=scan.path, remedy=BELONG)
        there = ~np.isin(centres[:, 0], missing_slices(scan))
        if not there.any():
            raise ScanError("its candidates lie in missing slices", path=scan.path, remedy="complete the series")
        if lost := int((~there).sum()):
            lie = "lies in a missing slice, and is" if lost == 1 else "lie in missing slices, and are"
            notes += (f"{lost} of its {len(there)} candidates {lie} not scored",)
        centres, places = centres[there], places[there]
        corners = centres - half
    else:
        order = list(axes.order)
        mask, notes = lungs(view, scan, [scan.spacing[axis] for axis in order])
        corners = tiles(mask, side)
    check_slices(len(corners), side, scan.voxels.nbytes, scan.path)
    made = crop_patches(view, axes, corners + half, scan, preset)
    warnings = outside_training(made.fit, expected or {}) if len(made.images) >= FEW else ()
    places = made.places if places is None else places
    return Regions(
        made.images, made.area, warnings, corners, side, view.shape, axes, made.keys, places, made.fit, notes
    )


def told_apart(sources: Sequence[ScanSource], asked: CandidateTable) -> list[ScanSource]:
    """Scans that were found together; with a fault where a table's rows may be another's: it calls a scan by the name
    of its file, and several files that are not one patient's in one folder have it."""
    named, holders = set(_table(asked).series.tolist()), defaultdict[str, set[tuple[Path, str]]](set)
    for source in sources:
        for name in named.intersection(set[str]().union(*called(source))):
            holders[name].add((source.path, source.patient if source.series_uid else source.name))
    return [_told(source, named, holders, asked) for source in sources]


def _told(
    source: ScanSource, named: set[str], holders: Mapping[str, Collection[object]], asked: CandidateTable
) -> ScanSource:
    own, files = called(source)
    shared = next((name for name in sorted(files & named) if len(holders[name]) > 1), "")
    if source.fault or own & named or not shared:
        return source
    reason = f"the table's rows of {quoted(shared)} may be another scan's: {len(holders[shared])} have the name"
    remedy = f"name it in {typed(asked.path)} by its series, or by its path below the folder that you give"
    return replace(source, fault=ScanError(reason, path=source.path, remedy=remedy))


@functools.cache
def _table(asked: CandidateTable) -> Candidates:
    found = read_candidates(asked.path, labelled=False)
    if sha256(asked.path) != asked.sha256:
        raise DataError("has changed since this run began", path=asked.path, remedy="run the command again")
    return found


def _candidates(
    source: ScanSource, asked: CandidateTable
) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[str, ...]]:
    """Rows [N] of a scan, those of its series or label, else those of its file's name, and their places [N, 3]; a
    place that comes twice counts once, which is noted: its score would weigh as much as several."""
    rows = _table(asked)
    for names in called(source):
        own = np.flatnonzero(np.isin(rows.series, sorted(names)))
        if not len(own):
            continue
        once = own[np.sort(np.unique(rows.place[own], axis=0, return_index=True)[1])]
        again = len(own) - len(once)
        lie = "is at the place of another" if again == 1 else "are at places of others"
        notes = (f"{again} of its {len(own)} candidates {lie}, and not counted",) if again else ()
        return once, np.asarray(rows.place[once]), notes
    remedy = f"name its series, or its file without the extension, in {typed(asked.path)}"
    raise ScanError("the table has no candidate of it", path=source.path, remedy=remedy)


def called(source: ScanSource) -> tuple[set[str], set[str]]:
    """What a table may call a scan: its series and its label, which no other of those found with it has; and what
    others may be called too, the name of its file or folder, and what is without an extension."""
    file = Path(source.path).name
    files = {file} if source.series_uid else {file, Path(source.name).name}
    return {source.series_uid, source.name} - {""}, files | {_stem(name) for name in (*files, source.name)}


def _stem(name: str) -> str:
    ends = [end for end in EXTENSIONS if name.lower().endswith(end)]
    return name[: -len(max(ends, key=len))] if ends else name
