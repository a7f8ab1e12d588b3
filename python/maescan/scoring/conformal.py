"""p-values and alerts: how unusual a score is among those of healthy scans that training never saw.

With exchangeable healthy scans at most a share a of them has a p-value <= a (Vovk et al., 2005), whatever the scores
mean. The reference travels in the bundle's manifest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from maescan.config.types import Json
from maescan.decimals import counted
from maescan.errors import BundleError
from maescan.method import aggregate

MANY = 20
"""Healthy scans, or slices of a place, from which on slices are compared with those of like position alone."""
NEAR = 1.1
"""How much larger or smaller than the calibration's, along an edge, voxels are that are still like them."""
SMOOTHED = ("noise", "share of fine detail")
"""Figures of a scan that are less where it was interpolated or smoothed."""
LIKE = 0.1
"""Positions that are no further apart, of the way from the lowest to the highest slice with foreground, are alike."""


@dataclass(frozen=True)
class Reference:
    """scans, slices: ascending scores of healthy ones, to the last bit: rounded ones would lie under their own. rate:
    the share of healthy scans that may alert. positions: of `slices`; highest: ascending highest slice scores of the
    scans; figures: what the scans are like, by name, one value per scan; patients: how many, where some have several
    scans, else 0; counts: slices of the scans. Bundles calibrated by an older maescan lack the last five."""

    scans: tuple[float, ...]
    slices: tuple[float, ...]
    rate: float
    positions: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()
    figures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    patients: int = 0
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, manifest: Json, rate: float) -> Reference | None:
        """The reference of a bundle's manifest; None where it has none. Raises BundleError for one that is none."""
        found = manifest.get("calibration")
        if not found:
            return None
        kinds = [found.get("scans"), found.get("slices")]
        if not all(isinstance(scores, list) and scores and all(map(_is_score, scores)) for scores in kinds):
            raise BundleError("its calibration is not lists of scores", remedy="calibrate it anew")
        scans, slices = (tuple(map(float, scores)) for scores in kinds)
        positions, figures, *each = (found.get(name) or () for name in ("positions", "figures", "worst", "counts"))
        if not (
            _numbers(positions, len(slices)) and all(_numbers(n, len(scans)) for n in each) and _figures(figures)
        ):
            raise BundleError("its calibration's positions or figures are none", remedy="calibrate it anew")
        order = sorted(range(len(slices)), key=slices.__getitem__)
        places = tuple(float(positions[i]) for i in order) if positions else ()
        more = {name: tuple(values) for name, values in dict(figures).items()}
        highest, counts = (tuple(sorted(values)) for values in each)
        patients = int(found.get("patients") or 0)
        return cls(tuple(sorted(scans)), tuple(sorted(slices)), rate, places, highest, more, patients, counts)

    def slice_p(self, scores: np.ndarray, positions: np.ndarray | None = None) -> list[float]:
        """p-values of slice scores [S]: among all healthy slices, or among those of like position [S] where there are
        MANY healthy scans or more."""
        reference = np.array(self.slices)
        if positions is None or not self.positions or len(self.scans) < MANY:
            return _rounded(aggregate.p_values(scores, reference))
        order = np.argsort(self.positions, kind="stable")
        places, sorted_by_place = np.array(self.positions)[order], reference[order]
        ends = zip(np.searchsorted(places, positions - LIKE), np.searchsorted(places, positions + LIKE), strict=True)
        near = [sorted_by_place[first:last] if last - first >= MANY else reference for first, last in ends]
        pairs = zip(np.asarray(scores), near, strict=True)
        return [_rounded(aggregate.p_values(np.array([score]), like))[0] for score, like in pairs]

    def any_slice_p(self, scores: np.ndarray) -> list[float] | None:
        """Of slice scores [S] the share of healthy scans, this one counted, that have any slice as high: a scan's
        least is its own p-value, however many slices it has. None where the calibration does not tell."""
        if not self.highest:
            return None
        return _rounded(aggregate.p_values(scores, np.array(self.highest)))

    def scan(self, score: float) -> tuple[float, str]:
        """(p-value, "yes" or "no": alert) of a scan's score."""
        p = float(aggregate.p_values(np.array([score]), np.array(self.scans))[0])
        return _rounded([p])[0], "yes" if p <= self.rate else "no"

    def unlike(self, figures: Mapping[str, float], slices: int) -> list[str]:
        """By what a scan of so many slices, 0 where none are counted, is not like the calibration's, whatever its
        values are: resampled it scores otherwise, and few slices have few chances of a high one."""
        said, size, sizes = [], figures.get("voxel size"), self.figures.get("voxel size")
        if size and sizes and not min(sizes) / NEAR <= size <= max(sizes) * NEAR:
            theirs = _span(sizes, ".3g")
            said.append(f"its voxels are as large as cubes of {size:.3g} mm, the calibration's of {theirs} mm")
        counts = self.counts or (len(self.slices) / len(self.scans),)
        if self.figures and slices and not min(counts) / 2 <= slices <= max(counts) * 2:
            count, theirs = counted(slices, "slice"), _span(counts, ".0f")
            said.append(f"it has {count}, the calibration's scans {theirs}: the more, the higher the highest")
        return [*said, *(self._smoother(figures) if slices else [])]

    def _smoother(self, figures: Mapping[str, float]) -> list[str]:
        """Whether a scan has less noise or fine detail than all of the calibration's: interpolated onto the same grid
        or smoothed, a healthy one scores higher, and its other figures do not show it."""
        for name in SMOOTHED:
            value, theirs = figures.get(name), self.figures.get(name)
            if value is not None and theirs and value < min(theirs) / NEAR:
                less = f"its {name} is {value:.3g}, the calibration's {_span(theirs, '.3g')}"
                return [f"{less}: if it was interpolated or smoothed, it scores higher for that"]
        return []

    def state(self) -> Json:
        """For run.json."""
        facts = {"scans": len(self.scans), "alert_rate": self.rate, "can_alert": self.can_alert}
        facts |= {"patients": self.patients} if self.patients else {}
        return {**facts, "threshold": self.threshold, "scores": list(self.scans)}

    @property
    def threshold(self) -> float | None:
        """The score over which a scan alerts; None where none can."""
        ranks = math.floor(self.rate * (len(self.scans) + 1) + 1e-9)
        return self.scans[-ranks] if 0 < ranks <= len(self.scans) else None

    @property
    def can_alert(self) -> bool:
        """Whether there are enough reference scans for so small a rate: a p-value is at least 1 / (n + 1)."""
        return 1 / (len(self.scans) + 1) <= self.rate


def needed(rate: float) -> int | None:
    """Healthy scans without which no scan can alert at that rate; None for a rate of 0, at which none ever does."""
    return max(1, math.ceil(1 / rate - 1e-9) - 1) if rate * (1 << 53) > 1 else None


def surplus(reference: int, judged: int, alerts: int, rate: float) -> float:
    """How probable it is that so many of `judged` scans or more alert, were they like the `reference` ones.

    Exact (a hypergeometric tail): of all these scans in one order, a scan alerts that lies above the r-th highest of
    the reference, r = rate * (reference + 1). Unlike a binomial test it counts that the reference itself is a sample:
    with 19 of them, 10 alerts among 30 scans are not rare."""
    ranks = math.floor(rate * (reference + 1) + 1e-9)
    if alerts <= 0 or ranks <= 0:
        return 1.0
    top = alerts + ranks - 1
    most = min(ranks - 1, reference)
    terms = [
        aggregate.log_comb(reference, of)
        + aggregate.log_comb(judged, top - of)
        - aggregate.log_comb(reference + judged, top)
        for of in range(max(0, top - judged), most + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, terms)))


def _rounded(p_values: Iterable[float]) -> list[float]:
    """Six decimals; of millions of slices the least p-value has more, and is not 0."""
    return [round(float(p), 6) or float(p) for p in p_values]


def _span(values: Sequence[float], form: str) -> str:
    return " to ".join(dict.fromkeys(f"{end:{form}}" for end in (min(values), max(values))))


def _numbers(values: object, count: int | None = None) -> bool:
    """Whether values are numbers, as many as that, or there are none."""
    if values == ():
        return True
    return isinstance(values, list) and count in (None, len(values)) and all(map(_is_score, values))


def _figures(values: object) -> bool:
    return values == () or (isinstance(values, dict) and all(map(_numbers, values.values())))


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
