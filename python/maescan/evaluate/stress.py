"""Paired insertion: one lesion put into each healthy slice, and whether the slice's score rises. It needs no labelled
lesion, so a site can ask it of its own healthy scans before it accepts a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.sliceset import SliceSet
from maescan.decimals import counted
from maescan.errors import DataError
from maescan.evaluate.insertions import ARTEFACTS, KINDS, LESIONS, Insertion, insert
from maescan.evaluate.lesions import by_bin
from maescan.evaluate.ranking import auroc, interval
from maescan.method.tokens import tissue_of

Floats = NDArray[np.float64]
Images = NDArray[np.float32]
Answer = tuple[Mapping[str, NDArray[np.generic]], NDArray[np.float32] | None]
Scorer = Callable[[Images, NDArray[np.uint64]], Answer]
Progress = Callable[[int, int], None]

SPECIFICITY = 0.95
SLICES = 256
MIN_TISSUE = 0.04  # of a slice: no more has no room for a lesion; of a patch of a CT lung is room too
SIZES = (0.01, 0.025, 0.05)  # of the slice's tissue
CHANGES = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)  # in standard deviations of the slice's tissue


@dataclass(frozen=True)
class Stressed:
    """N healthy slices of scans `patient` [N] of patients `subject` [N]; measure -> scores [N] `before`, and kind ->
    measure -> scores [N] `after`. size: share of the tissue that a lesion covers; change: how far it moved the mean
    there, in standard deviations of the slice's tissue; found: AUROC of the heat map's pixels inside against outside,
    within tissue (kind -> [N])."""

    patient: NDArray[np.str_]
    subject: NDArray[np.str_]
    slice: NDArray[np.int64]
    before: dict[str, Floats]
    after: dict[str, dict[str, Floats]]
    size: dict[str, Floats]
    change: dict[str, Floats]
    found: dict[str, Floats]


class Healthy:
    """The healthy slices of a set that have room for a lesion, `most` of them, spread evenly over the scans."""

    def __init__(self, slices: SliceSet, preset: Preset, *, most: int = SLICES, seed: int = 0) -> None:
        """Raises DataError where there are none."""
        least = 0.0 if preset.patches else MIN_TISSUE
        room = np.flatnonzero((np.asarray(slices.label) == 0) & (np.asarray(slices.area) > least))
        if not len(room):
            reason = "no slice is known to be healthy and has tissue enough for a lesion"
            raise DataError(reason, remedy="give healthy scans, or label slices without a lesion 0")
        room = room[np.lexsort((np.asarray(slices.slice)[room], np.asarray(slices.patient)[room]))]
        self.which = room[np.unique(np.linspace(0, len(room) - 1, most).astype(int))]
        self.patient, self.slice = np.asarray(slices.patient)[self.which], np.asarray(slices.slice)[self.which]
        self.keys = slices.keys[self.which]
        self.images = np.ascontiguousarray(slices.images[self.which], np.float32)
        self.tissue = tissue_of(self.images, preset)
        self.seed = seed
        self.subject = slices.subject[self.which]
        self.limits = {name: _ends(self.images[self.patient == name]) for name in np.unique(self.patient)}

    def __len__(self) -> int:
        return len(self.which)

    def insertion(self, kind: str, number: int) -> Insertion:
        """Slice `number` with something of a kind; foreign tissue is another patient's where there is one."""
        others = np.flatnonzero(self.subject != self.subject[number])
        others = others if len(others) else np.arange(len(self))
        donor = int(others[number * 7919 % len(others)])
        patient = str(self.patient[number])
        return insert(
            kind,
            self.images[number],
            self.tissue[number],
            (self.images[donor], self.tissue[donor]),
            limits=self.limits[patient],
            key=(self.seed, patient, int(self.slice[number])),
        )


def _ends(images: Images) -> tuple[float, float]:
    return float(images.min()), float(images.max())


def stress_slices(
    healthy: Healthy,
    score: Scorer,
    *,
    kinds: tuple[str, ...] = tuple(KINDS),
    batch: int = 32,
    progress: Progress | None = None,
) -> Stressed:
    """Scores healthy slices before and after, with the same masks. `score`: slices [B, H, W], keys [B] of their
    masks -> (measure -> scores [B], heat maps [B, H, W] or None). Raises DataError for a score that is not finite."""
    n, steps = len(healthy), len(kinds) + 1
    before = _scored(healthy.images, healthy.keys, score, batch)[0]
    stressed = Stressed(healthy.patient, healthy.subject, healthy.slice, before, {}, {}, {}, {})
    for step, kind in enumerate(kinds, start=1):
        if progress:
            progress(step * n, steps * n)
        put = [healthy.insertion(kind, number) for number in range(n)]
        after, heat = _scored(np.stack([one.image for one in put]), healthy.keys, score, batch)
        stressed.after[kind] = after
        if kind in LESIONS:
            places = [_place(healthy, number, one, heat) for number, one in enumerate(put)]
            stressed.size[kind], stressed.change[kind], stressed.found[kind] = np.array(places, np.float64).T
    return stressed


def _scored(
    images: Images, keys: NDArray[np.uint64], score: Scorer, batch: int
) -> tuple[dict[str, Floats], Images | None]:
    parts = [score(images[at : at + batch], keys[at : at + batch]) for at in range(0, len(images), batch)]
    scores = {name: np.concatenate([part[0][name] for part in parts]).astype(np.float64) for name in parts[0][0]}
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise DataError(f"{name} is NaN or infinite for {counted(int((~np.isfinite(values)).sum()), 'slice')}")
    maps = [part[1] for part in parts if part[1] is not None]
    return scores, np.concatenate(maps) if maps else None


def _place(healthy: Healthy, number: int, put: Insertion, heat: Images | None) -> tuple[float, float, float]:
    """(size, change, found) of one lesion."""
    assert put.mask is not None
    image, tissue, mask = healthy.images[number], healthy.tissue[number], put.mask
    spread = float(image[tissue].std()) or 1.0
    change = float((put.image - image)[mask].mean() / spread) if mask.any() else 0.0
    both = heat is not None and mask.any() and (tissue & ~mask).any()
    found = auroc(mask[tissue], heat[number][tissue]) if both and heat is not None else np.nan
    return mask.sum() / tissue.sum(), change, found


def summarise(stressed: Stressed, *, resamples: int = 1000, seed: int = 0) -> Json:
    """JSON types: for every kind and measure the share of slices whose score rises (no change counts half), the share
    that passes the threshold that 95 % of the healthy slices stay under, and intervals over patients."""
    shares = Shares(stressed.subject, resamples, seed)
    measures = {name: _measure(stressed, name, shares) for name in stressed.before}
    return {
        "slices": len(stressed.patient),
        "patients": len(np.unique(stressed.subject)),
        "measures": measures,
        "not_better_than_a_coin": next(iter(measures.values()))["not_better_than_a_coin"],
        "found": {kind: _mean(values) for kind, values in stressed.found.items()},
        "by_size": _bins(stressed, stressed.size, SIZES, "%"),
        "by_change": _bins(stressed, stressed.change, CHANGES, "sd"),
    }


class Shares:
    """Shares of slices with 95 % intervals, whole patients resampled; all of them by the same draws."""

    def __init__(self, patient: NDArray[np.str_], resamples: int, seed: int) -> None:
        names = np.unique(patient)
        rng, several = np.random.default_rng(seed), len(names) > 1
        self.draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=several * resamples)
        self.member = (patient[:, None] == names).astype(np.float64)

    def __call__(self, values: Floats) -> Json:
        """{"share", "interval"}; the interval is None for one patient."""
        drawn = self.draws @ np.stack([values @ self.member, self.member.sum(axis=0)], axis=1)
        between = interval(drawn[:, 0] / drawn[:, 1], self.member.shape[1])
        return {"share": float(values.mean()), "interval": list(between) if between else None}


def _measure(stressed: Stressed, measure: str, shares: Shares) -> Json:
    before = stressed.before[measure]
    limit = float(np.quantile(before, SPECIFICITY, method="inverted_cdf"))  # as `at_healthy_threshold`
    rows: dict[str, Json] = {}
    for kind, scores in stressed.after.items():
        after = scores[measure]
        rise, over = _rises(before, after), (after > limit).astype(np.float64)
        rows[kind] = {"rises": shares(rise), "passes": shares(over), "artefact": kind in ARTEFACTS}
    lesions = [row for row in rows.values() if not row["artefact"]]
    mean = {what: float(np.mean([row[what]["share"] for row in lesions])) for what in ("rises", "passes")}
    return {
        "kinds": rows,
        "mean": mean,
        "threshold": limit,
        "healthy_passes": float((before > limit).mean()),
        "not_better_than_a_coin": _coins(rows),
    }


def _rises(before: Floats, after: Floats) -> Floats:
    """1 where a score rises, a half where it does not change."""
    return np.asarray((after > before) + 0.5 * (after == before), np.float64)


def _bins(stressed: Stressed, values: Mapping[str, Floats], edges: tuple[float, ...], unit: str) -> list[Json]:
    """Rising scores of all lesions by size or change, under the name that a table of sensitivity has."""
    first = next(iter(stressed.before))
    kinds = [kind for kind in stressed.after if kind in values]
    if not kinds:
        return []
    rises = [_rises(stressed.before[first], stressed.after[kind][first]) for kind in kinds]
    rows = by_bin(np.concatenate([values[kind] for kind in kinds]), np.concatenate(rises), edges, unit)
    return [{"bin": row["bin"], "slices": row["slices"], "rises": row["sensitivity"]} for row in rows]


def _mean(values: Floats) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _coins(rows: Json) -> list[str]:
    """The kinds of lesion whose rising share, or the lower end of its interval, is a half or less."""
    low = {kind: (row["rises"]["interval"] or [row["rises"]["share"]])[0] for kind, row in rows.items()}
    return [kind for kind, value in low.items() if value <= 0.5 and kind in LESIONS]
