"""CT by regions (paper, section 4.1): patches as wide as the model's image at the CT's own resolution, around the
candidates of a table or tiling the lungs. Each patch is scored as a slice is."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.errors import ConfigError, ScanError, require, typed
from maescan.method.candidates import BELONG, Candidates, read_candidates, told_outside
from maescan.method.intensity import outside_training
from maescan.method.lungs import lungs, tiles
from maescan.method.patches import crop_patches, to_view
from maescan.options import CandidateTable, LungTiles
from maescan.scans import Scan, axial_view
from maescan.scans.budget import check_slices


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
        _table(str(asked.path))
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
    source: Any,
    preset: Preset,
    option: CandidateTable | LungTiles,
    *,
    expected: Mapping[str, Sequence[float]] | None = None,
) -> Regions:
    """The patches of one CT. expected: as `preprocess.prepare` takes it. Raises ScanError: no candidate, one outside
    of it, no lungs."""
    view, axes = axial_view(scan)
    side = preset.model.image_size
    notes: tuple[str, ...] = ()
    places, half = None, np.array([0, side // 2, side // 2])
    if isinstance(option, CandidateTable):
        rows, places = _candidates(source, str(option.path))
        centres = to_view(places, scan, axes, view.shape)
        if beside := told_outside(places, centres, view.shape, rows):
            raise ScanError(beside, path=scan.path, remedy=BELONG)
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


@functools.cache
def _table(path: str) -> Candidates:
    return read_candidates(Path(path), labelled=False)


def _candidates(source: Any, table: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows [N] of a scan, those of its series or of its file's name, and their places [N, 3]."""
    rows, file = _table(table), Path(source.path).name
    names = {source.series_uid, source.name, file, file.split(".nii")[0], Path(file).stem} - {""}
    own = np.flatnonzero(np.isin(rows.series, sorted(names)))
    if not len(own):
        remedy = f"name its series, or its file without the extension, in {typed(table)}"
        raise ScanError("the table has no candidate of it", path=source.path, remedy=remedy)
    return own, np.asarray(rows.place[own])
