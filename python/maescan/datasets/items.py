"""A data set before it is read: one `Item` a scan, each of which a worker can read on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One scan of a data set. read(preset) gives its slices, without `split`; it can be pickled. files: what it is
    read from. detail: what else decides its slices (a modality, rows of a table). split: the part that all its
    slices belong to, or that each does by its `slice` number; None: the set is not split."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[Preset], SliceSet]
    detail: Any = None
    split: str | Mapping[int, str] | None = field(default=None, compare=False)

    def slices(self, preset: Preset) -> SliceSet:
        """Its slices on the model's grid. Raises ScanError or DataError, naming the file."""
        made = self.read(preset)
        return replace(made, split=self.parts(made.slice))

    def parts(self, numbers: Any) -> Any:
        """`SliceSet.split` of its slices with these numbers: a part, or "" where a slice is in none."""
        if self.split is None:
            return None
        if isinstance(self.split, str):
            return np.full(len(numbers), self.split, "U5")
        return np.array([self.split.get(int(number), "") for number in numbers], "U5")
