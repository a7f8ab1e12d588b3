"""AUROC within patients: what is left when no patient's level helps, as it does in a pooled one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from maescan.errors import DataError
from maescan.evaluate.ranking import auroc


@dataclass(frozen=True)
class Within:
    """auroc: mean over the patients with slices of both classes, each counting once; patients: how many these are."""

    auroc: float
    patients: int


def auroc_by_patient(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> dict[str, float]:
    """AUROC of each patient that has normal and abnormal slices, by name in order."""
    label, score, patient = np.asarray(labels), np.asarray(scores, np.float64), np.asarray(patients)
    found = {}
    for name in np.unique(patient):
        mine = patient == name
        if len(np.unique(label[mine])) == 2:
            found[str(name)] = auroc(label[mine], score[mine])
    return found


def auroc_within(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> Within:
    """Raises DataError where no patient has slices of both classes."""
    found = auroc_by_patient(labels, scores, patients)
    if not found:
        raise DataError("no patient has both normal and abnormal slices")
    return Within(float(np.mean(list(found.values()))), len(found))
