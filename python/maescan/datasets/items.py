"""A data set before it is read: one `LabelledScan` a scan, each of which a worker can read on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.errors import ConfigError

PARTS = ("train", "val", "test")


class Listed(NamedTuple):
    """What a split file says of a slice or a row: its part, its label (0 normal, 1 abnormal) where the file's path
    says one; and where it says so."""

    part: str
    label: int | None
    file: Path
    line: int

    def check(self, label: int) -> None:
        """Raises ConfigError where the data say that the label is another."""
        if self.label is not None and label >= 0 and label != self.label:
            words = ("normal what is abnormal", "abnormal what is normal")[self.label]
            remedy = "check that the lists belong to these data, their labels and their numbering"
            raise ConfigError(f"line {self.line} calls {words} in the data", path=self.file, remedy=remedy)


@dataclass(frozen=True)
class LabelledScan:
    """One scan of a data set. read(preset) gives its slices, without `split`; it can be pickled. files: what it is
    read from. detail: what else decides its slices (a modality, rows of a table). split: the part that all its
    slices belong to, or that each does by its `slice` number; None: the set is not split. listed: what split files
    say of slices, by number. whose: of `SliceSet`. note: what was taken of the set, and its labels of: for people."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[Preset], SliceSet]
    detail: Any = None
    split: str | Mapping[int, str] | None = field(default=None, compare=False)
    listed: Mapping[int, Listed] = field(default_factory=dict, compare=False)
    note: str = field(default="", compare=False)
    whose: str = field(default="", compare=False)

    def slices(self, preset: Preset) -> SliceSet:
        """Its slices on the model's grid. Raises ScanError or DataError, naming the file."""
        made = self.read(preset)
        self.check(made.slice, made.label)
        return replace(made, split=self.parts(made.slice), whose=np.full(len(made), self.whose))

    def check(self, numbers: Iterable[int], labels: Iterable[int]) -> None:
        """Raises ConfigError, naming the first line of a split file that its slices' labels contradict."""
        found = [
            (self.listed[n], label) for n, label in zip(map(int, numbers), labels, strict=True) if n in self.listed
        ]
        for line, label in sorted(found, key=lambda pair: (pair[0].file, pair[0].line)):
            line.check(int(label))

    def parts(self, numbers: Any) -> Any:
        """`SliceSet.split` of its slices with these numbers: a part, or "" where a slice is in none."""
        if self.split is None:
            return None
        if isinstance(self.split, str):
            return np.full(len(numbers), self.split, "U5")
        return np.array([self.split.get(int(number), "") for number in numbers], "U5")
