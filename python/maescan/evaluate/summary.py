"""All metrics of a scored set as one dictionary of JSON types; what cannot be had is named in `missing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.errors import DataError
from maescan.evaluate.baselines import trivial_scores
from maescan.evaluate.lesions import CONTRASTS, SIZES, by_bin
from maescan.evaluate.matched import area_matched_auroc, auroc_in_area_strata, position_in_brain
from maescan.evaluate.ranking import (
    FEW,
    auroc,
    average_precision,
    bootstrap,
    calibration_error,
    fewest,
    interval,
    sensitivity_at,
)
from maescan.evaluate.scans import scan_auroc, scan_labels
from maescan.evaluate.scored import Pixels, Scored
from maescan.evaluate.within import auroc_within

SPECIFICITIES = (0.95, 0.99)
NO_MASKS = "the data set has no lesion masks, or not of every scan with lesions"
Answer = TypeVar("Answer")
Missing = dict[str, str]


def summarise(
    slices: SliceSet,
    scored: Scored,
    *,
    rule: Json | None = None,
    probability: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> Json:
    """Metrics of the slices of known label (0 or 1) of a SliceSet.

    `rule` aggregates slice scores to a scan's; `probability`: the scores are a classifier's. Raises DataError when
    one class is absent.
    """
    label = np.asarray(slices.label)
    auroc(label, scored.score)  # refuses
    missing: Missing = {}
    view = RankingMetrics(slices, label, resamples, seed, missing)
    baselines = {name: view.ranked(score, name) for name, score in trivial_scores(slices).items()}
    ranked = view.ranked(scored.score, "score", turn=False)
    calibration = calibration_error(label, scored.score) if probability else None
    found: Json = {
        "data": _data(slices, label),
        "slice": {**ranked, **_thresholds(label, scored.score), "calibration_error": calibration},
        "baselines": baselines,
        "over_best_baseline": view.over_best(ranked["auroc"], baselines),
        "scan": _scan(slices, label, scored.score, rule, missing),
        "pixels": _pixels(scored.pixels, missing),
        "lesions": _lesions(label, scored, missing),
    }
    if not probability:
        missing["calibration_error"] = "the scores are a measure, not a probability"
    return {**found, "missing": missing}


class RankingMetrics:
    """The ranking metrics that the score and every baseline get alike."""

    def __init__(self, slices: SliceSet, label: NDArray[np.integer], resamples: int, seed: int, missing: Missing):
        self.label, self.patient, self.area = label, slices.subject, np.asarray(slices.area)
        self.position = position_in_brain(slices.patient, slices.height, slices.area)
        self.resamples, self.seed, self.missing = resamples, seed, missing
        self.bootstraps: dict[str, NDArray[np.float64]] = {}
        self.few = fewest(label, self.patient)

    def ranked(self, score: NDArray[np.float64], name: str, *, turn: bool = True) -> Json:
        """AUROC with interval, average precision and the matched ones; `turn` takes the better direction."""
        sign = -1.0 if turn and auroc(self.label, score) < 0.5 else 1.0
        score = sign * score
        samples = bootstrap(self.label, score, self.patient, resamples=self.resamples, seed=self.seed)
        self.bootstraps[name] = samples
        if self.few < FEW:
            self.missing["interval"] = (
                f"patients with slices of one class: {self.few}; of under {FEW} intervals are too narrow"
            )
        if not self.resamples:
            self.missing["interval"] = "none was asked for: --resamples 0"
        return {
            "auroc": auroc(self.label, score),
            "interval": self._interval(samples),
            "direction": "higher" if sign > 0 else "lower",
            "average_precision": average_precision(self.label, score),
            "area_matched": self._matched(score),
            "area_strata": _try(
                self.missing, "area_strata", lambda: auroc_in_area_strata(self.label, score, self.area)
            ),
            "within_patients": self._within(score),
        }

    def over_best(self, auroc: float, baselines: Mapping[str, Json]) -> Json:
        """How far the score's AUROC lies over that of the best baseline; both resampled together."""
        best = max(baselines, key=lambda name: baselines[name]["auroc"])
        gaps = self.bootstraps["score"] - self.bootstraps[best]
        gap = auroc - baselines[best]["auroc"]
        return {"baseline": best, "gap": gap, "interval": self._interval(gaps)}

    def _interval(self, samples: NDArray[np.float64]) -> list[float] | None:
        between = interval(samples, self.few) if self.few >= FEW else None
        return list(between) if between else None

    def _within(self, score: NDArray[np.float64]) -> dict[str, float] | None:
        return _try(self.missing, "within_patients", lambda: asdict(auroc_within(self.label, score, self.patient)))

    def _matched(self, score: NDArray[np.float64]) -> Json | None:
        def matched() -> Json:
            return asdict(area_matched_auroc(self.label, score, self.position, self.area))

        return _try(self.missing, "area_matched", matched)


def _try(missing: Missing, name: str, answer: Callable[[], Answer]) -> Answer | None:
    try:
        return answer()
    except DataError as error:
        missing[name] = error.reason
        return None


def _data(slices: SliceSet, label: NDArray[np.integer]) -> Json:
    abnormal = int((label == 1).sum())
    scans = scan_labels(label, slices.patient)
    return {
        "slices": len(label),
        "normal": len(label) - abnormal,
        "abnormal": abnormal,
        "scans": len(scans),
        "abnormal_scans": int(scans.sum()),
        "taken": slices.taken,
    }


def _thresholds(label: NDArray[np.integer], score: NDArray[np.float64]) -> Json:
    rows = {}
    for specificity in SPECIFICITIES:
        sensitivity, threshold = sensitivity_at(label, score, specificity)
        threshold_ = threshold if np.isfinite(threshold) else None
        realised = float((score[label == 0] < threshold).mean())
        rows[f"{specificity:.0%}"] = {
            "sensitivity": sensitivity,
            "threshold": threshold_,
            "specificity": realised,
        }
    return {"at_specificity": rows}


def _scan(
    slices: SliceSet,
    label: NDArray[np.integer],
    score: NDArray[np.float64],
    rule: Json | None,
    missing: Missing,
) -> Json:
    auroc = _try(missing, "scan_auroc", lambda: scan_auroc(label, score, slices.patient, rule))
    return {"auroc": auroc, "aggregation": dict(rule) if rule else None}


def _pixels(pixels: Pixels | None, missing: Missing) -> Json | None:
    if pixels is None:
        missing["pixels"] = missing["lesions"] = NO_MASKS
        return None
    rows: Json = {}
    for name in ("heat", "heat_everywhere", "brightness"):
        counts = getattr(pixels, name)
        auroc, dice = _try(missing, "pixels", counts.auroc), _try(missing, "pixels", counts.best_dice)
        if auroc is None or dice is None:
            return None
        rows[name] = {"auroc": auroc, "best_dice": dice[0], "threshold": dice[1]}
    return rows


def _lesions(label: NDArray[np.integer], scored: Scored, missing: Missing) -> Json | None:
    """Sensitivity at 95 % specificity by lesion size and contrast, over abnormal slices with a mask."""
    if scored.size is None or scored.contrast is None or not (scored.size[label == 1] > 0).any():
        missing.setdefault("lesions", "no abnormal slice has a lesion in its mask")
        return None
    threshold = sensitivity_at(label, scored.score, SPECIFICITIES[0])[1]
    lesion = (label == 1) & (scored.size > 0)
    if lost := int((label == 1).sum() - lesion.sum()):
        missing["unmarked slices"] = (
            f"{lost} of {int((label == 1).sum())} abnormal slices have no lesion voxel on the model's grid: no lesion"
            " there counts in Dice, by size or in FROC"
        )
    found = scored.score[lesion] >= threshold
    return {
        "size": by_bin(scored.size[lesion], found, SIZES, "%"),
        "contrast": by_bin(scored.contrast[lesion], found, CONTRASTS, "sd"),
    }
