"""`maescan compare`: two evaluations of the same slices, patient by patient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from maescan.datasets.subjects import subjects_of
from maescan.decimals import counted, rounded
from maescan.errors import DataError
from maescan.evaluate.markdown import NO_INTERVALS, interval_text, table
from maescan.evaluate.matched import area_matched_auroc, position_in_brain
from maescan.evaluate.ranking import FEW, auroc, bootstrap, fewest, interval
from maescan.evaluate.within import auroc_by_patient, auroc_within
from maescan.records import Record, read, read_rows

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]
COLUMNS = ("scan", "slice", "label", "score", "area")
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class Pair(TypedDict):
    """A metric of both evaluations; interval: of the difference, 95 %. None where it cannot be had."""

    first: float | None
    second: float | None
    difference: float | None
    interval: list[float] | None


class OfPatient(NamedTuple):
    """AUROC within one patient, by both."""

    patient: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """Of the second over the first."""
        return self.second - self.first


class Comparison(TypedDict):
    """What `compare` found. left_out: slices that one alone judged; others: slices of equal names that show something
    else, None where that is not known; fewest: patients with slices of the class that fewer of them have; each:
    patients with slices of both classes."""

    first: str
    second: str
    slices: int
    left_out: int
    others: int | None
    patients: int
    fewest: int
    auroc: Pair
    within_patients: Pair
    area_matched: Pair
    each: list[OfPatient]


class ModelName(Record, frozen=True):
    """What was evaluated. trained_scans: of the data's, how many the model was trained with."""

    name: str
    score: str
    trained_scans: int = 0

    def __str__(self) -> str:
        count = self.trained_scans
        known = f"; **trained with {count} of the scans that it judged: on others it does worse**" if count else ""
        return f"{self.name} ({self.score}){known}"


class Data(Record, frozen=True):
    """How its slices were prepared."""

    preprocessing: dict[str, object] | None = None


class Metrics(Record, frozen=True):
    """What of metrics.json a comparison reads."""

    model: ModelName
    data: Data = Data()


class Judged(Record, frozen=True):
    """A row of slices.csv. height, patient: `SliceSet.height` and `subject`; print: `prints.every_print`; those of an
    older maescan lack them, and slices are taken to lie as they are numbered."""

    scan: str
    slice: int
    label: Annotated[int, Meta(ge=-1, le=1)]
    score: Finite
    area: Annotated[float, Meta(ge=0, le=1)]
    height: Finite | None = None
    patient: str = ""
    print: str = ""

    @property
    def lies_at(self) -> float:
        """Its height, or its number."""
        return self.slice if self.height is None else self.height


class Evaluation(NamedTuple):
    """slices.csv of an evaluation by (scan, slice), and how they were prepared."""

    name: str
    rows: dict[tuple[str, int], Judged]
    prepared: dict[str, object] | None


def read_evaluation(folder: Path) -> Evaluation:
    """An output folder of `maescan evaluate`. Raises DataError for anything else."""
    remedy = "give two folders that `maescan evaluate` wrote"
    try:
        metrics = read(Metrics, folder / "metrics.json", remedy=remedy)
        found = read_rows(Judged, folder / "slices.csv", remedy=remedy, columns=COLUMNS)
    except DataError as error:
        raise DataError(f"holds no evaluation: {error.reason}", path=error.path, remedy=error.remedy) from error
    rows: dict[tuple[str, int], Judged] = {}
    for row in found:
        if rows.setdefault((row.scan, row.slice), row) is not row:
            reason = f"holds no evaluation: it has slice {row.slice} of {row.scan} twice"
            raise DataError(reason, path=folder / "slices.csv", remedy=remedy)
    return Evaluation(str(metrics.model), rows, metrics.data.preprocessing)


def _others(one: Evaluation, two: Evaluation, keys: list[tuple[str, int]]) -> int | None:
    """How many slices of equal names are not the same slice; None where prints lack, or cannot be compared."""
    pairs = [(one.rows[key].print, two.rows[key].print) for key in keys]
    known = all(any(prints) for prints in zip(*pairs, strict=True))
    if not known or one.prepared is None or one.prepared != two.prepared:
        return None
    return sum(first != second for first, second in pairs)


def _shared(one: Evaluation, two: Evaluation, second: Path) -> list[tuple[str, int]]:
    """The slices that both judged. Raises DataError for none, for labels that differ, and for one class."""
    keys = sorted(set(one.rows) & set(two.rows))
    if not keys:
        raise DataError("judges none of the slices that the other does", path=second, remedy="evaluate the same data")
    differ = [key for key in keys if one.rows[key].label != two.rows[key].label]
    if differ:
        reason = f"calls slice {differ[0][1]} of {differ[0][0]} otherwise than the other does"
        raise DataError(reason, path=second, remedy="evaluate both on the same labels")
    labels = {one.rows[key].label for key in keys}
    if max(labels) < 1 or min(labels) > 0:
        none = "healthy" if min(labels) > 0 else "abnormal"
        reason = f"has {counted(len(keys), 'slice')} in common with the other, none of them {none}"
        raise DataError(reason, path=second, remedy="evaluate the same data, with slices of both kinds")
    return keys


def compare(first: Path, second: Path, *, resamples: int = 1000, seed: int = 0) -> Comparison:
    """How the second evaluation differs from the first on the slices that both judged: AUROC pooled, within patients
    and area-matched, each with the interval of the difference, whole patients resampled together; and each patient's.
    Raises DataError for folders without an evaluation, labels that differ, and where the slices in common are none or
    of one class."""
    one, two = read_evaluation(first), read_evaluation(second)
    keys = _shared(one, two, second)
    rows = [one.rows[key] for key in keys]
    label = np.array([row.label for row in rows])
    scores = [np.array([each.rows[key].score for key in keys]) for each in (one, two)]
    scan, height, area = (
        np.array(column) for column in zip(*((r.scan, r.lies_at, r.area) for r in rows), strict=True)
    )
    patient = subjects_of(scan, [row.patient or two.rows[key].patient for key, row in zip(keys, rows, strict=True)])
    position = position_in_brain(scan, height, area)
    samples = [bootstrap(label, score, patient, resamples=resamples, seed=seed) for score in scores]
    few = fewest(label, patient)
    each = _by_patient(label, scores, patient)

    def within(label: Labels, score: Scores) -> float:
        return auroc_within(label, score, patient).auroc

    def matched(label: Labels, score: Scores) -> float:
        return area_matched_auroc(label, score, position, area).auroc

    return {
        "first": one.name,
        "second": two.name,
        "slices": len(keys),
        "left_out": len(one.rows) + len(two.rows) - 2 * len(keys),
        "others": _others(one, two, keys),
        "patients": len(np.unique(patient)),
        "fewest": few,
        "auroc": _pair(auroc, label, scores, _ends(samples[1] - samples[0], few)),
        "within_patients": _pair(within, label, scores, _resampled(each, resamples, seed)),
        "area_matched": _pair(matched, label, scores, None),
        "each": each,
    }


def _pair(
    of: Callable[[Labels, Scores], float], label: Labels, scores: list[Scores], between: list[float] | None
) -> Pair:
    try:
        before, after = (of(label, score) for score in scores)
    except DataError:
        return {"first": None, "second": None, "difference": None, "interval": None}
    return {"first": before, "second": after, "difference": after - before, "interval": between}


def _by_patient(label: Labels, scores: list[Scores], patient: NDArray[np.str_]) -> list[OfPatient]:
    before, after = (auroc_by_patient(label, score, patient) for score in scores)
    return [OfPatient(name, before[name], after[name]) for name in before]


def _resampled(patients: list[OfPatient], resamples: int, seed: int) -> list[float] | None:
    gaps = np.array([row.difference for row in patients])
    if len(gaps) < 2 or not resamples:
        return None
    drawn = np.random.default_rng(seed).integers(len(gaps), size=(resamples, len(gaps)))
    return _ends(gaps[drawn].mean(axis=1), len(gaps))


def _ends(samples: NDArray[np.float64], patients: int) -> list[float] | None:
    between = interval(samples, patients) if len(samples) else None
    return list(between) if between else None


def text_of(comparison: Comparison) -> str:
    """What `compare` found, for people: each patient's sign in place of intervals where there are under FEW."""
    each = comparison["each"]
    few, few_within = comparison["fewest"] < FEW, len(each) < FEW
    parts = {"all slices": comparison["auroc"], "within patients": comparison["within_patients"]}
    parts["area-matched"] = comparison["area_matched"]
    rows = []
    for words, part in parts.items():
        hidden = few_within if words == "within patients" else few
        between = None if hidden else interval_text(part["interval"])
        rows.append([f"AUROC, {words}", part["first"], part["second"], _signed(part["difference"]), between])
    text = (
        f"first: {comparison['first']}\nsecond: {comparison['second']}\n\n"
        f"{comparison['slices']} slices of {comparison['patients']} patients that both judged;"
        f" {comparison['left_out']} judged by one alone are left out.\n\n"
        + _told(comparison["others"])
        + table(("", "first", "second", "difference", "interval"), rows)
    )
    better, worse = sum(row.difference > 0 for row in each), sum(row.difference < 0 for row in each)
    text += f"\nWithin patients the second is better for {better}, worse for {worse} of {len(each)}.\n"
    if few and not each:
        text += f"\n{NO_INTERVALS}\n"
    elif few_within and each:
        text += f"\nFewer than {FEW} patients: an interval would say too little, so here is each of them.\n\n"
        signs = [[row.patient, row.first, row.second, _sign(row.difference)] for row in each]
        text += table(("patient", "first", "second", "sign"), signs)
    return text


def _told(others: int | None) -> str:
    if others is None:
        return "Both prepared slices otherwise, or do not say: whether equal names are equal slices is not known.\n\n"
    if others:
        return (
            f"**{others} of these slices show something else in the second: other scans of the same names, or another"
            " modality. The difference is then not the models' alone.**\n\n"
        )
    return ""


def _signed(value: float | None) -> str | None:
    return None if value is None else rounded(value, "+")


def _sign(value: float) -> str:
    return "+" if value > 0 else "-" if value < 0 else "="
