"""From slices to scans: a scan is abnormal when any of its slices is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.decimals import counted
from maescan.evaluate.ranking import auroc
from maescan.method.aggregate import scan_score
from maescan.method.intensity import intensity_statistics, outside_training
from maescan.method.prints import seen, slice_prints
from maescan.method.regions import FEW


def scan_labels(labels: ArrayLike, patients: ArrayLike) -> NDArray[np.int64]:
    """1 or 0 per scan, in the sorted order of names."""
    label, patient = np.asarray(labels), np.asarray(patients)
    return np.array([int((label[patient == name] == 1).any()) for name in np.unique(patient)])


def scan_scores(scores: ArrayLike, patients: ArrayLike, rule: Json | None = None) -> NDArray[np.float64]:
    """Aggregated scores per scan, in the sorted order of names; `rule` as in `method.aggregate.scan_score`."""
    score, patient = np.asarray(scores), np.asarray(patients)
    return np.array([scan_score(score[patient == name], rule) for name in np.unique(patient)])


def scan_auroc(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike, rule: Json | None = None) -> float:
    """AUROC of scan scores. Raises DataError when all scans are of one class, as in BraTS."""
    return auroc(scan_labels(labels, patients), scan_scores(scores, patients, rule))


def trained_scans(data: SliceSet, names: ArrayLike, manifest: Json) -> int:
    """How many of the scans `names` a bundle was trained with, told by the values of all slices that `data` has of
    each: of LUNA16's CTs some patches are judged and others trained on. 0 also for a bundle that does not tell.
    manifest: the bundle's."""
    prints, patients = manifest.get("provenance", {}).get("prints"), np.asarray(data.patient)
    rows = (np.flatnonzero(patients == name) for name in np.unique(np.asarray(names))) if prints else ()
    return sum(seen(slice_prints(np.asarray(data.images[row])), prints) for row in rows)


def unlike_scans(data: SliceSet, names: ArrayLike, manifest: Json) -> int:
    """How many of the scans `names` have values outside training's, by all slices that `data` has of each; 0 also for
    a bundle that does not tell, and of few patches, which tell as little as when scoring. manifest: the bundle's."""
    expected: dict[str, list[float]] = manifest.get("intensity") or {}
    patients, least = np.asarray(data.patient), 1 if data.key is None else FEW
    rows = [np.flatnonzero(patients == name) for name in np.unique(np.asarray(names))] if expected else []
    found = (intensity_statistics(np.asarray(data.images[row])) for row in rows if len(row) >= least)
    return sum(bool(outside_training(figures, expected)) for figures in found)


def training_text(metrics: Json) -> str:
    """What a report says of scans that trained the bundle, and of those unlike training's; "" for none."""
    trained, unlike = (metrics["model"].get(name, 0) for name in ("trained_scans", "unlike_scans"))
    known = (
        f"**The bundle was trained with {trained} of these scans: on others it does worse than these figures say.**"
    )
    outside = f"Of these scans {counted(unlike, 'has', 'have')} values outside training's"
    other = f"{outside}; `maescan score` says which, and why."
    return "".join(f"{said}\n\n" for said, count in ((known, trained), (other, unlike)) if count)
