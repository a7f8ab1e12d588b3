"""Labelled slices held in memory."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Slices:
    images: np.ndarray
    patient: np.ndarray
    slice: np.ndarray
    label: np.ndarray
    area: np.ndarray
    mask: np.ndarray | None = None
    split: np.ndarray | None = None

    def select(self, index):
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Slices(**{name: value if value is None else value[index] for name, value in values.items()})
