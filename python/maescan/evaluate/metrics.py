"""Every metric of the evaluation, by one name each. numpy only."""

from maescan.evaluate.baselines import trivial_baselines, trivial_scores
from maescan.evaluate.lesions import by_bin, lesion_contrast, lesion_share
from maescan.evaluate.matched import Matched, area_matched_auroc, auroc_in_area_strata, position_in_brain
from maescan.evaluate.pixels import PixelCounts, foreground
from maescan.evaluate.ranking import (
    Roc,
    auroc,
    average_precision,
    bootstrap,
    calibration_error,
    interval,
    roc,
    sensitivity_at,
)
from maescan.evaluate.scans import scan_auroc
from maescan.evaluate.within import auroc_within

__all__ = [
    "Matched",
    "PixelCounts",
    "Roc",
    "area_matched_auroc",
    "auroc",
    "auroc_in_area_strata",
    "auroc_within",
    "average_precision",
    "bootstrap",
    "by_bin",
    "calibration_error",
    "foreground",
    "interval",
    "lesion_contrast",
    "lesion_share",
    "position_in_brain",
    "roc",
    "scan_auroc",
    "sensitivity_at",
    "trivial_baselines",
    "trivial_scores",
]
