"""Rows of an array on disk, chosen without being read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


class MappedRows:
    """Looks like base[index] [N, h, w], a copy, and reads the rows that are asked for when they are asked for.

    base: [M, h, w] images, or with `width` [M, h, bytes] masks of one bit per pixel, `width` pixels per row, which
    are read as bool. Workers that map the same file share its pages.
    """

    def __init__(self, base: Array, index: ArrayLike | None = None, *, width: int | None = None):
        self.base, self.width = base, width
        self.index = np.arange(len(base)) if index is None else np.asarray(index)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), self.base.shape[1], self.width or self.base.shape[2])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(bool) if self.width else self.base.dtype

    @property
    def ndim(self) -> int:
        return 3

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Array]:
        return (self[row] for row in range(len(self)))

    def select(self, which: ArrayLike) -> MappedRows:
        """The rows of an index or a boolean array, still unread."""
        return MappedRows(self.base, self.index[np.asarray(which)], width=self.width)

    def __getitem__(self, key: Any) -> Array:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        rows = self.index[first]
        read = self.base[_as_slice(rows)]
        if self.width:
            read = np.unpackbits(np.asarray(read), axis=-1, count=self.width).view(bool)
        if not rest:
            return read
        return read[rest] if rows.ndim == 0 else read[(slice(None), *rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)


def _as_slice(rows: Any) -> Any:
    """Neighbouring rows as a slice, which maps the file instead of copying it."""
    if rows.ndim == 0 or not len(rows) or rows[-1] - rows[0] != len(rows) - 1 or (np.diff(rows) != 1).any():
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1)
