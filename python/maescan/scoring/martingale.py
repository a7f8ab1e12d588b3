"""Calibration that knows when it ends: a test martingale over the scans of an archive in order of arrival.

Each arriving scan gets a smoothed conformal p-value among the calibration's scans and all that came before it. As
long as scans are exchangeable with the calibration's, these are independent and uniform (Vovk et al., 2005), and a
gambler who bets against that turns a stake of 1 into 100 with a probability of at most 1 in 100, whenever one looks
(Ville). The bets are Vovk's Simple Jumper: on high, on low and on no particular p-values, changing sides at times.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALARM = 100.0
"""Capital at which the scans are said to have changed: by chance at most once in so many archives."""

JUMP = 0.01
"""How much of the stake changes sides at every scan."""

BETS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Slopes of the bets 1 + slope * (p - 0.5): a p-value's density under each; none goes under 0."""


@dataclass(frozen=True)
class Drift:
    """Of scans [N] in order: capital after the last, the highest it ever was, and the scan (from 0) at which it first
    passed ALARM, or None."""

    capital: float
    highest: float
    alarm_at: int | None

    @property
    def changed(self) -> bool:
        """Whether the alarm has gone off; it does not go out again."""
        return self.alarm_at is not None


def drift(reference: Sequence[float], arrived: Iterable[tuple[str, float]]) -> Drift:
    """The gambler's capital over scans as they arrived. reference: the calibration's scan scores; arrived: (identity
    of the scan, score). Ties are broken by a hash of the identity, so the same archive has the same capital."""
    stakes = [1.0 / len(BETS)] * len(BETS)
    seen = sorted(reference)
    capital = highest = 1.0
    alarm_at = None
    for position, (identity, score) in enumerate(arrived):
        p = _smoothed(seen, score, _uniform(identity))
        bisect.insort(seen, score)
        total = sum(stakes)
        stakes = [(1 - JUMP) * stake + JUMP * total / len(BETS) for stake in stakes]
        stakes = [stake * (1 + slope * (p - 0.5)) for stake, slope in zip(stakes, BETS, strict=True)]
        capital = min(sum(stakes), 1e300)
        if capital >= 1e300 or not math.isfinite(sum(stakes)):
            stakes = [stake / capital for stake in stakes]
        highest = max(highest, capital)
        if alarm_at is None and capital >= ALARM:
            alarm_at = position
    return Drift(capital, highest, alarm_at)


def _smoothed(seen: Sequence[float], score: float, theta: float) -> float:
    """Among the ascending scores `seen` and itself: the share that is higher, and `theta` of what is equal."""
    low, high = bisect.bisect_left(seen, score), bisect.bisect_right(seen, score)
    return (len(seen) - high + theta * (high - low + 1)) / (len(seen) + 1)


def _uniform(identity: str) -> float:
    """In (0, 1), from the scan alone."""
    digest = hashlib.sha256(f"martingale {identity}".encode("utf-8", "surrogateescape")).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2**56
