"""From scores to p-values and alerts: a conformal reference of healthy scans that training never saw.

With exchangeable healthy scans at most a share a of them has a p-value <= a (Vovk et al., 2005), whatever the scores
mean. The reference travels in the bundle's manifest.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import DataError
from maescan.method import aggregate
from maescan.scoring.options import EngineOptions, ScoreOptions

RULES: dict[str, dict[str, Any]] = {
    "max": {"method": "max"},
    "top": {"method": "top", "k": 3},
    "area": {"method": "area", "threshold": 0.5},
}


@dataclass(frozen=True)
class Reference:
    """scans, slices: ascending scores of healthy ones, rounded as in scores.csv. rate: the share of healthy scans
    that may alert."""

    scans: tuple[float, ...]
    slices: tuple[float, ...]
    rate: float

    @classmethod
    def of(cls, manifest: Mapping[str, Any], rate: float) -> Reference | None:
        """The reference of a bundle's manifest; None where it has none."""
        found = manifest.get("calibration")
        return cls(tuple(found["scans"]), tuple(found["slices"]), rate) if found else None

    def slice_p(self, scores: np.ndarray) -> list[float]:
        """p-values of slice scores [S]."""
        return [round(float(p), 6) for p in aggregate.p_values(scores, np.array(self.slices))]

    def scan(self, score: float) -> tuple[float, str]:
        """(p-value, "yes" or "no": alert) of a scan's score."""
        p = float(aggregate.p_values(np.array([score]), np.array(self.scans))[0])
        return round(p, 6), "yes" if p <= self.rate else "no"

    def state(self) -> dict[str, Any]:
        """For run.json."""
        facts = {"scans": len(self.scans), "alert_rate": self.rate, "can_alert": self.can_alert}
        return {**facts, "scores": list(self.scans)}

    @property
    def can_alert(self) -> bool:
        """Whether there are enough reference scans for so small a rate: a p-value is at least 1 / (n + 1)."""
        return 1 / (len(self.scans) + 1) <= self.rate


def needed(rate: float) -> int:
    """Healthy scans without which no scan can alert at that rate."""
    return max(1, math.ceil(1 / rate - 1e-9) - 1)


def calibrate(
    bundle: Path,
    healthy: Sequence[Path],
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(pictures=0),
    *,
    rule: str | None = None,
    skip_failed: bool = False,
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Scores held-back healthy scans and writes their reference into the bundle; returns it, and what was left out.

    `rule`: how slice scores become a scan's (max, top, area); default: what the bundle says. Raises DataError when a
    scan cannot be scored, unless `skip_failed` leaves it out, and as `run.score_paths` does.
    """
    from maescan.engines.bundle import Bundle, update
    from maescan.scoring.run import score_paths

    loaded = Bundle.load(bundle)
    chosen = RULES[rule] if rule else loaded.manifest.get("aggregation") or aggregate.DEFAULT
    with tempfile.TemporaryDirectory(prefix="maescan-calibrate-") as folder:
        summary = score_paths(list(healthy), bundle, Path(folder), engine, options)
        if summary.failures and not (skip_failed and summary.scored):
            first = summary.failures[0]
            remedy = "repair it, leave it out, or let --skip-failed do so"
            raise DataError(f"{first['scan']} cannot be scored: {first['reason']}", path=healthy[0], remedy=remedy)
        slices = read_scores(Path(folder) / "scores.csv")
    scans = [aggregate.scan_score(np.array(values), chosen) for values in slices.values()]
    digest = hashlib.sha256(repr(sorted(slices.items())).encode()).hexdigest()
    reference = {
        "scans": sorted(round(score, 6) for score in scans),
        "slices": sorted(value for values in slices.values() for value in values),
        "scores_sha256": digest,
    }
    update(bundle, calibration=reference, aggregation=chosen)
    return reference, summary.failures


def read_scores(file: Path) -> dict[str, list[float]]:
    """Slice scores of every scan in a scores.csv."""
    import csv

    found: dict[str, list[float]] = {}
    with open(file, newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["scan"], []).append(float(row["score"]))
    return found
