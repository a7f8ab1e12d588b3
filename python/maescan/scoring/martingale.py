"""Calibration that knows when it ends: test martingales over the scans of an archive in order of arrival.

Each arriving scan gets a smoothed conformal p-value among the calibration's scans and all that came before it, once
by its score and once by each figure of what it is like (mean, noise, voxel size ...), which a change of scanner moves
long before it moves scores. As long as scans are exchangeable with the calibration's, the p-values of one figure are
independent and uniform (Vovk et al., 2005), and a gambler who bets against that turns a stake of 1 into C with a
probability of at most 1 in C, whenever one looks (Ville). There is a gambler for each of K figures with 1/K of the
stake; the richest one is looked at, and K times 1 in 100 K is 1 in 100: their sum would not do, for the ranks of two
figures together are not independent of what came before.

A gambler mixes bets on high, on low and on no particular p-values, straight ones for small changes and powers for
large ones, and changes sides at times (Vovk's Simple Jumper with more to bet on). Of what was tried on one figure
that shifts (24 scans of calibration, 100 as before, then 60 shifted; alarms in time of 100, and after how many scans
at the middle) this mixture loses little on small shifts and gains much on large ones:

| shift, deviations | 0.5 | 1 | 1.5 | 2 |
| --- | --- | --- | --- | --- |
| straight bets alone | 2 | 82, 39 | 100, 27 | 100, 23 |
| powers alone | 0 | 48, 43 | 100, 23 | 99, 14 |
| both | 1 | 79, 42 | 100, 24 | 100, 14 |

Half a deviation is hardly noticed within 60 scans, whatever the bets.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ALARM = 100.0
"""Capital at which the scans are said to have changed: by chance at most once in so many archives."""

JUMP = 0.01
"""How much of the stake changes sides at every scan."""

SLOPES, POWERS = (-2.0, -1.0, 0.0, 1.0, 2.0), (0.3, 0.6)
"""Of the bets 1 + slope * (p - 0.5), and power * p ** (power - 1) with its mirror image: densities of a p-value."""
BETS = len(SLOPES) + 2 * len(POWERS)
LEAST = 1e-9

MOST = 1e300


@dataclass(frozen=True)
class Drift:
    """Of scans [N] in order: capital after the last, the highest it ever was, the scan (from 0) at which it first
    passed ALARM, or None, and by which figure."""

    capital: float
    highest: float
    alarm_at: int | None
    figure: str = ""

    @property
    def changed(self) -> bool:
        """Whether the alarm has gone off; it does not go out again."""
        return self.alarm_at is not None


class Gambler:
    """Bets on one figure. reference: the calibration's values."""

    def __init__(self, name: str, reference: Sequence[float]):
        self._name, self._seen = name, sorted(reference)
        self._stakes = [1.0 / BETS] * BETS
        self.capital = 1.0

    def see(self, identity: str, value: float) -> None:
        """The next scan. Ties are broken by a hash of its identity, so the same archive has the same capital."""
        p = _smoothed(self._seen, value, _uniform(f"{self._name} {identity}" if self._name else identity))
        bisect.insort(self._seen, value)
        mixed = JUMP * sum(self._stakes) / BETS
        pairs = zip(self._stakes, _bets(p), strict=True)
        self._stakes = [((1 - JUMP) * stake + mixed) * bet for stake, bet in pairs]
        self.capital = min(sum(self._stakes), MOST)
        if self.capital >= MOST:
            self._stakes = [stake / self.capital for stake in self._stakes]


def drift(references: Mapping[str, Sequence[float]], arrived: Iterable[tuple[str, Mapping[str, float]]]) -> Drift:
    """The richest gambler's capital over scans as they arrived. references: by figure, the calibration's values;
    arrived: (identity of the scan, its values by figure); one that it lacks is not bet on."""
    gamblers = {name: Gambler(name, reference) for name, reference in references.items()}
    capital = highest = 1.0
    alarm_at, figure = None, ""
    for position, (identity, values) in enumerate(arrived):
        for name, gambler in gamblers.items():
            if name in values:
                gambler.see(identity, values[name])
        richest = max(gamblers, key=lambda name: gamblers[name].capital)
        capital = gamblers[richest].capital / len(gamblers)
        highest = max(highest, capital)
        if alarm_at is None and capital >= ALARM:
            alarm_at, figure = position, richest
    return Drift(capital, highest, alarm_at, figure)


def _bets(p: float) -> list[float]:
    """What each bet makes of a stake of 1 at a p-value."""
    straight = [1 + slope * (p - 0.5) for slope in SLOPES]
    low, high = max(p, LEAST), max(1 - p, LEAST)
    return [*straight, *(power * end ** (power - 1) for power in POWERS for end in (low, high))]


def _smoothed(seen: Sequence[float], value: float, theta: float) -> float:
    """Among the ascending values `seen` and itself: the share that is higher, and `theta` of what is equal."""
    low, high = bisect.bisect_left(seen, value), bisect.bisect_right(seen, value)
    return (len(seen) - high + theta * (high - low + 1)) / (len(seen) + 1)


def _uniform(identity: str) -> float:
    """In (0, 1), from the scan alone."""
    digest = hashlib.sha256(f"martingale {identity}".encode("utf-8", "surrogateescape")).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2**56
