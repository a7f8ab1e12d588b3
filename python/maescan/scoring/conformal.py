"""p-values and alerts: how unusual a score is among those of healthy scans that training never saw.

With exchangeable healthy scans at most a share a of them has a p-value <= a (Vovk et al., 2005), whatever the scores
mean. The reference travels in the bundle's manifest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maescan.method import aggregate


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
