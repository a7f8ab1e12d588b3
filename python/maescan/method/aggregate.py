"""From slice scores to a scan score, and from scores to p-values against held-back healthy scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maescan.errors import ConfigError, DataError

DEFAULT: dict[str, Any] = {"method": "top", "k": 3}


def scan_score(scores: np.ndarray, rule: Mapping[str, Any] | None = None) -> float:
    """One score from a scan's slice scores [S].

    `rule`: {"method": "max"}, {"method": "top", "k": 3} (mean of the k highest) or
    {"method": "area", "threshold": t} (share of slices over t). Raises ConfigError for another method.
    """
    rule = rule or DEFAULT
    ordered = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    method = rule.get("method")
    if method == "max":
        return float(ordered[0])
    if method == "top":
        return float(ordered[: int(rule["k"])].mean())
    if method == "area":
        return float((ordered > float(rule["threshold"])).mean())
    raise ConfigError(f"unknown aggregation '{method}'", remedy="use max, top or area")


def positions(areas: np.ndarray) -> np.ndarray:
    """Where slices [S] of a scan, from the feet up, lie: 0 the lowest with foreground (area over 0), 1 the highest;
    slices beyond lie under 0 or over 1. 0.5 where one slice has some, or none."""
    filled = np.flatnonzero(np.asarray(areas) > 0)
    if len(filled) < 2:
        return np.full(len(areas), 0.5)
    return np.asarray((np.arange(len(areas)) - filled[0]) / float(filled[-1] - filled[0]))


def p_values(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Conformal p-values [N]: (1 + number of reference scores >= score) / (1 + number of reference scores).

    Ties count against an alert, so with exchangeable healthy scans at most a share a of them has a p-value <= a,
    whatever the scores. Raises DataError for a score that is not finite: no order has a place for it.
    """
    ordered = np.sort(np.asarray(reference, dtype=np.float64))
    if not (np.isfinite(ordered).all() and np.isfinite(scores).all()):
        raise DataError("a score is not finite", remedy="check the bundle with `maescan verify`")
    above = len(ordered) - np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    return (1.0 + above) / (1.0 + len(ordered))
