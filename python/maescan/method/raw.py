"""Slices that are not on the models' grid yet: raw voxels, and what makes slices of them where they are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from maescan import kernels
from maescan.kernels import Taps
from maescan.method.engine import Array, Floats

MOST_BYTES = 1 << 20
"""Of a slice that goes up raw: 1024 x 512 voxels of 16 bits. A place keeps as much for each of its slices."""
MOST_COLUMNS = 1536
"""Of a slice that goes up raw: a block of the kernel keeps 8 rows in 48 KB (csrc/extract/cuda.cu)."""


@dataclass(frozen=True, eq=False)
class RawPart:
    """Slices of one scan. voxels [S, H0, W0] (int16, uint16, uint8 or float32, any strides); rows, columns: their way
    to the grid; values: numbers of `kernels.extract_slices`; ends [S, 2]: between which values stay, or None."""

    voxels: NDArray[np.generic]
    rows: Taps
    columns: Taps
    values: Mapping[str, float | None]
    ends: Floats | None = None

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def for_devices(self) -> bool:
        """Whether the kernel alone makes the slices, of voxels that a place has room for."""
        small = self.voxels[0].nbytes <= MOST_BYTES and self.voxels.shape[2] <= MOST_COLUMNS
        return small and self.ends is None

    def take(self, which: NDArray[np.int64]) -> RawPart:
        """Some of its slices [N]; a run of them is seen where it lies."""
        first, count = int(which[0]), len(which)
        run = np.array_equal(which, np.arange(first, first + count))
        index = slice(first, first + count) if run else which
        return replace(self, voxels=self.voxels[index], ends=None if self.ends is None else self.ends[index])

    def arrays(self) -> tuple[Array, ...]:
        """What a device needs of it: voxels, then index and weights of rows and columns."""
        return self.voxels, self.rows.index, self.rows.weights, self.columns.index, self.columns.weights

    def extract(self, arrays: tuple[Array, ...] | None = None, out: Array = None, stream: int | None = None) -> Array:
        """Slices [S, H, W] on the grid; arrays: those of `arrays` on a device, where `out` is, too."""
        voxels, *taps = arrays or self.arrays()
        rows, columns = Taps(taps[0], taps[1], self.rows.n_in), Taps(taps[2], taps[3], self.columns.n_in)
        made = kernels.extract_slices(voxels, rows, columns, **self.values, out=out, stream=stream)  # type: ignore[arg-type]
        if self.ends is not None:
            low, high = self.ends.T[:, :, None, None]
            np.clip(made, low, high, out=made)
        return made


@dataclass(frozen=True, eq=False)
class RawSlices:
    """Slices [B, H, W] of one scan or of several, in the place of `images` of `score_slices`: on a GPU raw voxels go
    up, and come to the grid there."""

    parts: tuple[RawPart, ...]

    def __len__(self) -> int:
        return int(self._last[-1]) if self.parts else 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of the images."""
        part = self.parts[0]
        return len(self), len(part.rows.index), len(part.columns.index)

    @property
    def for_devices(self) -> bool:
        """Whether a place can make the slices."""
        return all(part.for_devices for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Of the voxels."""
        return sum(part.voxels.nbytes for part in self.parts)

    def __getitem__(self, which: slice | Sequence[int] | NDArray[np.int64]) -> RawSlices:
        """Slices by a range of rows or an index [N], in that order."""
        rows = np.arange(len(self))[which]
        owners = np.searchsorted(self._last, rows, side="right")
        cuts = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(owners)) + 1) if len(rows) else []
        firsts = self._last - [len(part) for part in self.parts]
        return RawSlices(tuple(self.parts[owners[at[0]]].take(rows[at] - firsts[owners[at[0]]]) for at in cuts))

    def extracted(self) -> Floats:
        """The slices, made on the host."""
        return np.concatenate([part.extract() for part in self.parts])

    def packed(self) -> RawSlices:
        """With voxels side by side, as they travel between processes without a copy more."""
        return RawSlices(tuple(replace(part, voxels=np.ascontiguousarray(part.voxels)) for part in self.parts))

    @cached_property
    def _last(self) -> NDArray[np.int64]:
        return np.cumsum([len(part) for part in self.parts])


Slices = Floats | RawSlices
"""Slices [B, H, W] on the models' grid, or raw."""


def on_host(images: Slices) -> Floats:
    """Slices [B, H, W] on the grid."""
    return images.extracted() if isinstance(images, RawSlices) else images


def gathered(picked: Sequence[tuple[Slices, int]]) -> Slices:
    """Single slices (a scan's slices, index) together; raw where all are."""
    if not all(isinstance(images, RawSlices) for images, _ in picked):
        return np.stack([on_host(images[index : index + 1])[0] for images, index in picked])
    runs = [list(run) for _, run in groupby(picked, key=lambda each: id(each[0]))]
    each = [run[0][0][np.array([index for _, index in run])] for run in runs]
    return RawSlices(tuple(part for raw in each for part in raw.parts))
