"""Training and test patients of a set that comes without the authors' split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maescan.datasets.sliceset import SliceSet, by_patient
from maescan.errors import ConfigError, DataError

FEW, HELD_OUT = 10, 0.4


@dataclass(frozen=True)
class Fold:
    """Slices to train on (of which training takes the healthy ones) and slices of other patients to judge by."""

    name: str
    train: SliceSet
    test: SliceSet


def make_folds(slices: SliceSet, folds: int | None = None, seed: int = 0) -> list[Fold]:
    """Folds disjoint by patient.

    A set with a "test" part is one fold, its own. Else `folds` parts take turns at being the test; by default every
    patient with lesions of up to ten, and of more 40 % once (the paper's share). Patients with lesions are dealt
    evenly. Raises DataError with one patient only or too few with lesions, ConfigError for fewer than two folds.
    """
    if folds is not None and folds < 2:
        raise ConfigError(f"{folds} folds leave nobody to train on", remedy="two or more are needed")
    parts = slices.split
    if parts is not None and (np.asarray(parts) == "test").any():
        test = np.asarray(parts) == "test"
        return [Fold("test", slices.select(~test), _known(slices.select(test)))]
    patients = _dealt(slices, seed)
    if len(patients) < 2:
        raise DataError("the data set has one patient only", remedy="two are needed to train and to judge")
    ill = len(np.unique(slices.subject[slices.label == 1]))  # each fold is judged on one of them at least
    once = folds is None and len(patients) > FEW
    if ill < 2 - once or (folds or 0) > ill:
        remedy = f"use --folds {ill}" if ill > 1 else "add patients with lesions, or labels of them"
        raise DataError(
            f"{ill} of {len(patients)} patients {'has' if ill == 1 else 'have'} lesions, too few for the folds",
            remedy=remedy,
        )
    if once:
        return [_fold("held out", slices, _share(patients, HELD_OUT))]
    count = folds or ill
    return [_fold(f"{i + 1} of {count}", slices, patients[i::count]) for i in range(count)]


def _dealt(slices: SliceSet, seed: int) -> list[str]:
    """Patients in random order, those with abnormal slices first."""
    ill = set(slices.subject[slices.label == 1].tolist())
    return sorted(by_patient(slices.subject.tolist(), seed), key=lambda name: name not in ill)


def _share(patients: list[str], share: float) -> list[str]:
    """That share of the patients, spread evenly over the order."""
    count = max(1, round(share * len(patients)))
    return [patients[int(i * len(patients) / count)] for i in range(count)]


def _fold(name: str, slices: SliceSet, patients: list[str]) -> Fold:
    test = np.isin(slices.subject, patients)
    return Fold(name, slices.select(~test), _known(slices.select(test)))


def _known(slices: SliceSet) -> SliceSet:
    return slices.select(np.asarray(slices.label) >= 0)
