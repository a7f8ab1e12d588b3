"""CT by regions (paper, section 4.1): patches as wide as the model's image at the CT's own resolution, around the
candidates of a table or tiling the lungs. Each patch is scored as a slice is."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.luna16 import _crop, to_view
from maescan.datasets.luna16_table import Candidates, read_candidates
from maescan.errors import ConfigError, ScanError
from maescan.method.intensity import fit_intensity
from maescan.method.preprocess import upright
from maescan.options import CandidateTable, LungTiles
from maescan.scans import Scan, axial_view
from maescan.scans.budget import check_slices

LUNG_HU = -320.0
"""What is darker is air: between lung (about -800) and soft tissue (about 0)."""
SMALLEST_LUNG_ML = 100.0
CLOSING_MM = 8.0
"""Vessels and nodules up to this wide at a lung's wall belong to it."""
LUNG_SHARE = 0.1
"""Of a tile, at least; others are not scored."""


@dataclass(frozen=True)
class Regions:
    """What `preprocess.Prepared` is for slices. images [N, H, W]; area [N]; corners [N, 3]: slice, row, column of
    each patch in the axial view (may lie beside it); places: RAS+ mm [N, 3] of the candidates."""

    images: NDArray[np.float32]
    area: NDArray[np.float32]
    warnings: tuple[str, ...]
    corners: NDArray[np.int64]
    side: int
    shape: tuple[int, ...]
    axes: Any
    places: NDArray[np.float64] | None = None

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
    able = preset.intensity.method == "hu" and preset.grid.field_mm is None
    if asked and not able:
        raise ConfigError(f"preset '{preset.name}' scores whole slices", remedy="leave out --candidates and --tile")
    if able and not asked:
        raise ConfigError(f"preset '{preset.name}' scores patches of a CT", remedy="use --tile or --candidates TABLE")
    if isinstance(asked, CandidateTable):
        _table(str(asked.path))
    if isinstance(asked, LungTiles) and importlib.util.find_spec("scipy") is None:
        raise ConfigError("--tile needs scipy", remedy="pip install scipy")


def cut(scan: Scan, source: Any, preset: Preset, option: CandidateTable | LungTiles) -> Regions:
    """The patches of one CT. Raises ScanError: no candidate, one outside of it, no lungs."""
    view, axes = axial_view(scan)
    side = preset.model.image_size
    places, half = None, np.array([0, side // 2, side // 2])
    if isinstance(option, CandidateTable):
        places = _candidates(source, str(option.path))
        centres = to_view(places, scan, axes, view.shape)
        if ((centres < 0) | (centres >= view.shape)).any():
            remedy = "check that table and CT belong together"
            raise ScanError("a candidate lies outside of it", path=scan.path, remedy=remedy)
        corners = centres - half
    else:
        order = list(axes.order)
        corners = tiles(lungs(view, scan, [scan.spacing[axis] for axis in order]), side)
    check_slices(len(corners), side, scan.voxels.nbytes, scan.path)
    fit = fit_intensity(view, scan, preset)
    raw = np.stack([_crop(view, corner + half, side).astype(np.float32) for corner in corners])
    images = np.clip(raw * np.float32(fit.scale) + np.float32(fit.offset), fit.low, fit.high).astype(np.float32)
    images[np.isnan(raw)] = fit.floor
    area = (images > fit.air).mean(axis=(1, 2)).astype(np.float32)
    images = np.ascontiguousarray(upright(images, preset))
    return Regions(images, area, (), corners, side, view.shape, axes, places)


@functools.cache
def _table(path: str) -> Candidates:
    return read_candidates(Path(path))


def _candidates(source: Any, table: str) -> NDArray[np.float64]:
    """Places [N, 3] of a scan: the rows of its series, or of its file's name."""
    rows, file = _table(table), Path(source.path).name
    names = {source.series_uid, source.name, file, file.split(".nii")[0], Path(file).stem} - {""}
    places = rows.place[np.isin(rows.series, sorted(names))]
    if not len(places):
        remedy = f"name its series, or its file without the extension, in {table}"
        raise ScanError("the table has no candidate of it", path=source.path, remedy=remedy)
    return np.asarray(places)


def lungs(view: NDArray[Any], scan: Scan, spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Lungs of an axial view [S, H, W], spacing in mm likewise: what is below -320 HU, hangs together, does not reach
    the sides of the slices and has over 100 ml, closed over vessels. Raises ScanError where there are none."""
    from scipy import ndimage

    air = view * np.float32(scan.slope) + np.float32(scan.inter) < LUNG_HU
    labels, _ = ndimage.label(air)
    outside = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    sizes = np.bincount(labels.ravel()) * np.prod(spacing) / 1000.0
    sizes[0] = 0
    sizes[outside] = 0
    kept: NDArray[np.bool_] = (sizes >= SMALLEST_LUNG_ML)[labels]
    if not kept.any():
        raise ScanError(
            "no lungs were found", path=scan.path, remedy="is it a CT of the chest? else use --candidates"
        )
    reach = [round(CLOSING_MM / 2 / each) for each in spacing[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (rows * spacing[1]) ** 2 + (columns * spacing[2]) ** 2 <= (CLOSING_MM / 2) ** 2
    for level in np.flatnonzero(kept.any(axis=(1, 2))):
        padded = np.pad(kept[level], [(n, n) for n in reach])
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, disc))
        kept[level] = closed[reach[0] : closed.shape[0] - reach[0], reach[1] : closed.shape[1] - reach[1]]
    return kept


def tiles(mask: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Corners [N, 3] of tiles that overlap by half, on every slice where they hold enough of the mask [S, H, W]."""
    corners = []
    for level in np.flatnonzero(mask.any(axis=(1, 2))):
        starts = [_starts(np.flatnonzero(mask[level].any(axis=1 - axis)), side) for axis in (0, 1)]
        for top in starts[0]:
            for left in starts[1]:
                window = mask[level, max(top, 0) : top + side, max(left, 0) : left + side]
                if window.sum() >= LUNG_SHARE * side * side:
                    corners.append((level, top, left))
    return np.array(corners, np.int64).reshape(-1, 3)


def _starts(covered: NDArray[np.int64], side: int) -> list[int]:
    """Starts of tiles, half a side apart, that cover a span and lie around its middle."""
    low, high = int(covered[0]), int(covered[-1]) + 1
    count = max(1, -(-(high - low - side) // (side // 2)) + 1)
    first = (low + high - (count - 1) * (side // 2) - side) // 2
    return [first + i * (side // 2) for i in range(count)]
