"""From slice scores to a scan score, and from scores to p-values against held-back healthy scans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from maescan.decimals import counted
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


def least_rate(reference: int) -> float:
    """The least rate, in thousandths, at which a scan can alert with n healthy scans: 1 / (n + 1), never less."""
    return math.ceil(1000 / (reference + 1)) / 1000


def likely_rate(reference: int, rate: float, sure: float = 0.95) -> float:
    """What the share of healthy scans that alert stays under with `sure` of all references of so many scans.

    `rate` holds on average over references. With one of n scans the share that lies over its r-th highest,
    r = rate * (n + 1), is Beta(r, n + 1 - r)."""
    ranks = math.floor(rate * (reference + 1) + 1e-9)
    if not 0 < ranks <= reference:
        return float(ranks > 0)
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        yes, no = math.log(share), math.log1p(-share)
        over = math.fsum(math.exp(log_comb(reference, k) + k * yes + (reference - k) * no) for k in range(ranks))
        low, high = (share, high) if over > 1 - sure else (low, share)
    return high


def several_of(patients: int) -> str:
    """Of a reference in which patients have several scans: what makes its rate lower than the true one."""
    return f"of {counted(patients, 'patient')}, whose own scans are alike"


def log_comb(n: int, k: int) -> float:
    """The logarithm of how many ways there are to choose k of n."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
