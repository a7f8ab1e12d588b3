"""Maps of healthy scans: how high they are in tissue, and how high at each place, so that others can be held to them.

A place is a cell of the box around a scan's tissue, 12 from below to above by 16 by 16: scans are brought together no
further than that. Of each healthy scan the highest value in each cell is kept, without saying whose it is.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maescan.errors import BundleError
from maescan.method.heat import LEVELS, level_values, levels

CELLS = (12, 16, 16)
MOST = 100
"""Healthy scans whose cells are kept, the first ones by name."""
RED = 0.99
"""The share of healthy tissue that lies below the middle of a difference's colours."""
RARE = 0.05
"""The share of healthy scans that come up to the middle of a judge's colours anywhere, at the most."""

Box = Sequence[Sequence[float]]
"""Where the tissue of a scan lies in its axial view, in voxels: from, to, along slices, rows and columns."""


def cell_index(box: Box, shape: Sequence[int]) -> list[NDArray[np.int64]]:
    """Along each axis of an axial view: the cell of each voxel; beside the box that at its rim."""
    return [
        np.clip(((np.arange(n) + 0.5 - low) / max(high - low, 1e-6) * cells).astype(np.int64), 0, cells - 1)
        for (low, high), cells, n in zip(box, CELLS, shape, strict=True)
    ]


def cell_maxima(view: NDArray[np.float32], box: Box, full: float) -> NDArray[np.uint8]:
    """The highest level in each cell [12, 16, 16] of a map's axial view [S, H, W]; 0 in cells without a voxel."""
    found = view
    for axis, index in enumerate(cell_index(box, view.shape)):
        parts = [found.take(np.flatnonzero(index == cell), axis=axis) for cell in range(CELLS[axis])]
        found = np.stack([part.max(axis=axis, initial=0) for part in parts], axis=axis)
    return levels(found, full)


@dataclass(frozen=True, eq=False)
class HealthyMaps:
    """full: `heat.full_scale` of the preset; p99: the value that 99 % of healthy tissue lies below; cells
    [N, 12, 16, 16]: levels of N scans, in ascending order in each cell."""

    full: float
    p99: float
    cells: NDArray[np.uint8]

    @classmethod
    def of(cls, full: float, counts: NDArray[np.int64], maxima: Sequence[NDArray[np.uint8]]) -> HealthyMaps:
        """From the levels of the tissue of healthy scans [256], counted, and their `cell_maxima`."""
        reached = int(np.searchsorted(np.cumsum(counts), RED * counts.sum()))
        cells = np.sort(np.stack(maxima[:MOST]), axis=0)
        return cls(full, max(float(level_values(full)[min(reached, LEVELS - 1)]), full / 1024), cells)

    @property
    def rare(self) -> float:
        """What at most RARE of the healthy scans are over anywhere."""
        highest = np.sort(self.cells, axis=None)[-1 - int(RARE * len(self.cells))]
        return float(2 * self.full * ((int(highest) + 0.5) / (LEVELS - 1)) ** 2)

    def threshold(self, units: str) -> float:
        """What healthy scans are seldom over, of maps of these `heat.units`: a judge's are over p99 far around a
        lesion, and over `rare` at it."""
        return self.rare if units == "probability" else self.p99

    def to_json(self) -> dict[str, object]:
        """For a manifest."""
        packed = base64.b64encode(zlib.compress(self.cells.tobytes(), 9)).decode()
        return {"full": self.full, "p99": self.p99, "scans": len(self.cells), "cells": packed}

    @classmethod
    def from_json(cls, values: object) -> HealthyMaps | None:
        """What `to_json` made; None of nothing. Raises BundleError for what it did not make."""
        if values is None:
            return None
        try:
            if not isinstance(values, Mapping):
                raise TypeError
            count, full, p99 = int(values["scans"]), float(values["full"]), float(values["p99"])
            size = count * int(np.prod(CELLS))
            if not (1 <= count <= MOST and 0 < p99 < np.inf and 0 < full < np.inf):
                raise ValueError
            raw = zlib.decompressobj().decompress(base64.b64decode(values["cells"], validate=True), size + 1)
            cells = np.frombuffer(raw, np.uint8).reshape(count, *CELLS)
        except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
            raise BundleError("its calibration's maps cannot be read", remedy="calibrate it anew") from error
        return cls(full, p99, cells)

    def exceedance(self, view: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
        """Of each voxel of a map's axial view [S, H, W]: the share of healthy scans that are as high in its cell,
        (1 + as many) / (1 + N), as a p-value counts. In the place of the map, for of a large scan both are much."""
        z, y, x = cell_index(box, view.shape)
        table = self._table()
        for index, cell in enumerate(z):
            place = cell * CELLS[1] * CELLS[2] + y[:, None] * CELLS[2] + x
            view[index] = table[place, levels(view[index], self.full)]
        return view

    def _table(self) -> NDArray[np.float32]:
        """The share for each cell and level [3072, 256]."""
        count = len(self.cells)
        flat = self.cells.reshape(count, -1).astype(np.int64)
        tally = np.zeros((flat.shape[1], LEVELS + 1), np.int64)
        for scan in flat:
            tally[np.arange(flat.shape[1]), scan] += 1
        above = np.cumsum(tally[:, ::-1], axis=1)[:, ::-1][:, :LEVELS]
        return np.asarray((1 + above) / (1 + count), np.float32)


def scan_heat(
    maps: NDArray[np.float32], tissue: NDArray[np.bool_], maxima: NDArray[np.uint8], full: float
) -> dict[str, str]:
    """What a calibration needs of a healthy scan's maps [S, h, w], in JSON types."""
    counts = level_counts(maps, tissue, full).astype("<i8")
    return {
        name: base64.b64encode(zlib.compress(part.tobytes())).decode()
        for name, part in (("counts", counts), ("maxima", maxima))
    }


def gather(heats: Sequence[Mapping[str, str]], full: float) -> HealthyMaps:
    """The reference of what `scan_heat` made of healthy scans."""
    raw = [{name: zlib.decompress(base64.b64decode(text)) for name, text in heat.items()} for heat in heats]
    counts = np.sum([np.frombuffer(each["counts"], "<i8") for each in raw], axis=0)
    return HealthyMaps.of(full, counts, [np.frombuffer(each["maxima"], np.uint8).reshape(CELLS) for each in raw])


def level_counts(maps: NDArray[np.float32], tissue: NDArray[np.bool_], full: float) -> NDArray[np.int64]:
    """How often each level [256] is there in the tissue of maps [S, H, W]."""
    counts = np.zeros(LEVELS, np.int64)
    for part, inside in zip(maps, tissue, strict=True):
        counts += np.bincount(levels(part[inside], full), minlength=LEVELS)
    return counts


def profile(scores: Sequence[NDArray[np.float32]], spans: Sequence[Sequence[float]]) -> list[list[float]]:
    """Slice scores of healthy scans along their tissue, from below to above in 25 steps: the 5th, 50th and 95th
    percentile. spans: first and last slice with tissue of each scan."""
    steps = np.linspace(0, 1, 25)
    curves = [
        np.interp(low + steps * max(high - 1 - low, 0), np.arange(len(values)), values)
        for values, (low, high) in zip(scores, spans, strict=True)
    ]
    found = np.percentile(np.stack(curves), [5, 50, 95], axis=0)
    return [[round(float(value), 6) for value in row] for row in found]
