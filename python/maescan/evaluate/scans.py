"""From slices to scans: a scan is abnormal when any of its slices is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.evaluate.ranking import auroc
from maescan.method.aggregate import scan_score


def scan_labels(labels: ArrayLike, patients: ArrayLike) -> NDArray[np.int64]:
    """1 or 0 a scan, in the sorted order of names."""
    label, patient = np.asarray(labels), np.asarray(patients)
    return np.array([int((label[patient == name] == 1).any()) for name in np.unique(patient)])


def scan_scores(scores: ArrayLike, patients: ArrayLike, rule: Mapping[str, Any] | None = None) -> NDArray[np.float64]:
    """Aggregated scores a scan, in the sorted order of names; `rule` as in `method.aggregate.scan_score`."""
    score, patient = np.asarray(scores), np.asarray(patients)
    return np.array([scan_score(score[patient == name], rule) for name in np.unique(patient)])


def scan_auroc(
    labels: ArrayLike, scores: ArrayLike, patients: ArrayLike, rule: Mapping[str, Any] | None = None
) -> float:
    """AUROC of scan scores. Raises DataError when all scans are of one class, as in BraTS."""
    return auroc(scan_labels(labels, patients), scan_scores(scores, patients, rule))
