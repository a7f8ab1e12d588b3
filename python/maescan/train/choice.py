"""The end of a training: every measure at hand on lesions put into validation slices, and which one scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from maescan.config import PRESETS, Preset
from maescan.config.types import Json
from maescan.datasets import SliceSet
from maescan.engines.bundle import COIN
from maescan.engines.eager import TorchEngine
from maescan.errors import DataError, escaped
from maescan.evaluate.acceptance import MEASURES, engine_scorer, stress_set
from maescan.evaluate.baselines import trivial_baselines
from maescan.evaluate.matched import area_matched_auroc, position_in_brain
from maescan.evaluate.ranking import auroc
from maescan.files import write_json
from maescan.method.gate import ORGANS
from maescan.method.prints import TrainingPrints, seen, slice_prints
from maescan.records import Record, whole_rows
from maescan.train.loop import TrainingRun

STRESSED, BATCH = 64, 32
OTHERS = 1_000_003
"""Added to the seed: other lesions than those that a judge's best epoch was chosen by."""
NAMED = 3
"""How many scans are named."""
CHANCE = {"classifier": float(np.log(2))}
"""The loss of a network that tells nothing."""
NEAR, TELLS = 0.95, 0.6
"""A loss over this share of chance, or a judge's best validation (`HeldOut.tells`) under TELLS, is near chance."""


def choose_measure(run: TrainingRun, preset: Preset, validation: SliceSet) -> Json:
    """{"measure", "stress", "validation", "warnings"} for run.json.

    Where the preset's name ends in +, preset.json takes the measure whose scores rise with a lesion and then pass the
    threshold of healthy slices most often (the sum of both shares, mean over kinds); others keep theirs, and are told
    by how much it loses. Without healthy validation slices nothing is chosen.
    """
    engine = TorchEngine(run.out, preset, str(run.fabric.device))
    stressed = (
        stress_set(validation, engine, preset, most=STRESSED, seed=run.seed + OTHERS)
        if len(validation.images)
        else None
    )
    kept: Json = {"measure": preset.measure, "stress": stressed, "validation": None}
    warnings = [*any_organ(preset), *near_chance(run, preset), *copies(validation, run.prints)]
    if stressed is None:
        return kept | {"warnings": [*warnings, "no healthy validation slices: measures were not compared"]}
    values = {
        _field(name, preset): row["mean"]["rises"] + row["mean"]["passes"]
        for name, row in stressed["measures"].items()
    }
    best = max(values, key=lambda name: values[name])
    own = preset.name.endswith("+")
    if best != preset.measure and (own or f"{values[best]:.2f}" != f"{values[preset.measure]:.2f}"):
        gap = f"{apart(values[best], values[preset.measure])}, shares that rise and that pass together"
        what = f"scores with {best}, not with" if own else f"{best} would be better than"
        warnings.append(f"{what} {preset.measure}, on lesions put into validation slices: {gap}")
    if own:
        kept["measure"] = best
        write_json(run.out / "preset.json", preset.replace(measure=best).to_dict())
    coins = coin_kinds(stressed, kept["measure"], preset)
    warnings += [coins] if coins else []
    return kept | {"validation": _ranked(validation, engine, preset), "warnings": warnings}


def apart(one: float, two: float) -> str:
    """Two numbers with as many decimals as tell them from each other.

    >>> apart(0.841, 0.839), apart(0.84, 0.5)
    ('0.841 against 0.839', '0.84 against 0.50')
    """
    digits = next((digits for digits in (2, 3, 4) if f"{one:.{digits}f}" != f"{two:.{digits}f}"), 6)
    return f"{one:.{digits}f} against {two:.{digits}f}"


def any_organ(preset: Preset) -> list[str]:
    """A line where neither maescan nor the preset's name says which part of the body it is of."""
    if preset.name in PRESETS or preset.name.startswith(tuple(ORGANS)):
        return []
    organs = " or ".join(f"{name} ({organ})" for name, organ in ORGANS.items())
    told = f"preset '{escaped(preset.name)}' does not say its body part: scans whose tags name another are judged too"
    return [f"{told}, unless its name begins with {organs}"]


def copies(validation: SliceSet, training: TrainingPrints | None) -> list[str]:
    """What is to be said where training has the slices of validation patients too, under other names."""
    patients = np.asarray(validation.patient)
    images = ((name, validation.images[np.flatnonzero(patients == name)]) for name in np.unique(patients))
    both = [str(name) for name, own in images if seen(slice_prints(np.asarray(own)), training)]
    if not both:
        return []
    more = f" and {len(both) - NAMED} more" if len(both) > NAMED else ""
    named = escaped(", ".join(both[:NAMED]))
    return [f"training has the slices of these validation scans, too: {named}{more}; keep one copy of each scan"]


def tell(warnings: list[str]) -> None:
    """What a training has to say of its result, on stderr."""
    for warning in warnings:
        print(f"maescan: {warning}", file=sys.stderr)


def coin_kinds(stressed: Json, measure: str, preset: Preset) -> str | None:
    """One line that names the kinds of lesion on which a measure is no better than a coin."""
    rows = next(row for name, row in stressed["measures"].items() if _field(name, preset) == measure)
    kinds = rows["not_better_than_a_coin"]
    return f"{COIN} on lesions of these kinds: {', '.join(kinds)}" if kinds else None


def _field(name: str, preset: Preset) -> str:
    """What a preset calls the measure of that name in a stress test."""
    return next((field for field, words in MEASURES.items() if words == name), preset.measure)


class Loss(Record, frozen=True):
    """What of a row of log.csv is looked at."""

    phase: str
    loss: float


class Validated(Record, frozen=True):
    """A row of log.csv that ends an epoch with a validation; others have none of this type."""

    phase: str
    val_auroc: float


def near_chance(run: TrainingRun, preset: Preset) -> list[str]:
    """A line where the last loss in log.csv is about that of a network that tells nothing, or no epoch of a judge
    told lesions of validation patients."""
    if preset.measure == "judge":
        rows = whole_rows(Validated, run.out / "log.csv")
        best = max((row.val_auroc for row in rows if row.phase == "judge"), default=1.0)
        more = "it needs more epochs (judge.epochs of a preset file), or more scans"
        told = "the mean of AUROC and share that rises, on held-out kinds, where a coin has 0.50"
        return [f"the judge learnt little: {best:.2f} is {told}; {more}"] if best < TELLS else []
    limit = CHANCE.get(preset.measure)
    losses = [row.loss for row in whole_rows(Loss, run.out / "log.csv") if row.phase == preset.measure]
    if limit is None or not losses or losses[-1] < NEAR * limit:
        return []
    return [f"the {preset.measure}'s loss stayed near chance: {losses[-1]:.3f}, where a coin has {limit:.3f}"]


def _ranked(validation: SliceSet, engine: TorchEngine, preset: Preset) -> Json | None:
    """AUROC of every measure and of the trivial baselines on labelled validation slices, and area-matched; None with
    one class."""
    known = validation.select(np.asarray(validation.label) >= 0)
    score = engine_scorer(engine, preset)
    numbers = known.keys
    parts = [
        score(np.ascontiguousarray(known.images[at : at + BATCH], np.float32), numbers[at : at + BATCH])[0]
        for at in range(0, len(numbers), BATCH)
    ]
    try:
        scores = {_field(name, preset): np.concatenate([part[name] for part in parts]) for name in parts[0]}
        measures = {name: round(auroc(known.label, values), 4) for name, values in scores.items()}
        trivial = {name: round(value, 4) for name, (value, _) in trivial_baselines(known).items()}
    except (DataError, IndexError):
        return None
    return {"auroc": measures, "area_matched": _matched(known, scores), "baselines": trivial}


def _matched(known: SliceSet, scores: Mapping[str, NDArray[np.float32]]) -> Json | None:
    """Area-matched AUROC of every measure; None where no slices are alike."""
    position = position_in_brain(known.patient, known.height, known.area)
    try:
        return {
            name: round(area_matched_auroc(known.label, values, position, known.area).auroc, 4)
            for name, values in scores.items()
        }
    except DataError:
        return None
