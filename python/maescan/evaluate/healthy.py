"""Thresholds that healthy slices give, before any lesion is seen, and what is found at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.evaluate.pixels import PixelCounts
from maescan.evaluate.scored import score_set
from maescan.method.engine import Engine
from maescan.method.healthy import HealthyMaps
from maescan.method.heat import units

SPECIFICITY = 0.95
PIXELS = 0.99
"""The share of healthy tissue's pixels that stays under the threshold of a heat map."""


class HealthyScores(NamedTuple):
    """Of healthy slices that are not judged. source: whose; scores [M]; heat: their pixels, where they have masks."""

    source: str
    scores: NDArray[np.float64]
    heat: PixelCounts | None = None


class AtThreshold(NamedTuple):
    """source: whose slices, and how many, gave the threshold; the realised rates, None without slices to judge;
    shared: scans that are judged and gave the threshold too, for which 95 % is no finding."""

    source: str
    slices: int
    threshold: float
    specificity: float | None
    sensitivity: float | None
    shared: int = 0


def healthy_scores(
    data: SliceSet, judged: SliceSet, manifest: Mapping[str, object], engine: Engine, preset: Preset
) -> HealthyScores | None:
    """From the normal slices of a set's "val" part, of patients that are not judged; else from what the bundle was
    calibrated with; None where there is neither, and where it was by tiles of lungs: patches are judged around
    candidates, which are no sample of these."""
    if data.split is not None:
        mine = (np.asarray(data.split) == "val") & (np.asarray(data.label) == 0)
        mine &= ~np.isin(data.subject, np.unique(judged.subject))
        if mine.any():
            scored = score_set(data.select(mine), engine, preset)
            return HealthyScores("validation", scored.score, scored.pixels.heat if scored.pixels else None)
    calibration = manifest.get("calibration")
    tiled = isinstance(calibration, Mapping) and calibration.get("regions") == "tile"
    slices = calibration.get("slices") if isinstance(calibration, Mapping) and not tiled else None
    return HealthyScores("calibration", np.array(slices, np.float64)) if slices else None


def at_healthy_threshold(
    labels: ArrayLike, scores: ArrayLike, healthy: HealthyScores, patients: ArrayLike = ()
) -> AtThreshold:
    """Sensitivity and realised specificity at the least threshold that `SPECIFICITY` of other healthy slices stay
    under. A slice is found at or over it. patients: the scan of each, to count those that gave the threshold: all of
    their slices score as it has them, to the last bit."""
    label, score = np.asarray(labels), np.asarray(scores, np.float64)
    ordered = np.sort(healthy.scores)
    under = min(len(ordered) - 1, int(np.ceil(SPECIFICITY * len(ordered))) - 1)
    threshold = float(np.nextafter(ordered[under], np.inf))
    found = score >= threshold
    shares = _share(~found[label == 0]), _share(found[label == 1])
    names, scan = np.unique(np.asarray(patients, str), return_inverse=True)
    others = np.bincount(scan[~np.isin(score, ordered)] if len(names) else [], minlength=len(names))
    shared = int((others == 0).sum())
    return AtThreshold(healthy.source, len(ordered), threshold, *shares, shared)


def dice_at_healthy_threshold(heat: PixelCounts, healthy: PixelCounts, source: str) -> Json:
    """Dice of a heat map at the threshold that `PIXELS` of the pixels of healthy slices stay under."""
    threshold = healthy.least_over(PIXELS)
    return {"dice": heat.dice_at(threshold), "threshold": threshold, "source": source}


def marked_over(manifest: Json, preset: Preset) -> float | None:
    """What map values are over where a bundle's segmentations mark them; None without a calibration's maps."""
    calibration = manifest.get("calibration")
    maps = HealthyMaps.from_json(calibration.get("maps") if isinstance(calibration, Mapping) else None)
    return maps.threshold(units(preset)) if maps else None


def _share(found: NDArray[np.bool_]) -> float | None:
    return float(found.mean()) if len(found) else None
