"""`maescan evaluate`: a bundle on a labelled set, beside the trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.engines.bundle import Bundle
from maescan.errors import DataError
from maescan.evaluate import pictures
from maescan.evaluate.baselines import trivial_scores
from maescan.evaluate.markdown import report
from maescan.evaluate.scored import Scored, ids_of, score_set
from maescan.evaluate.summary import summarise
from maescan.files import claim, write_csv, write_json, write_text

STRESSED = 64
"""Healthy slices that an evaluation puts lesions into; `maescan stress` takes more."""


def evaluate(
    data: SliceSet | Path | str,
    bundle: Bundle | Path | str,
    out: Path,
    *,
    device: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
    modality: str | None = None,
    split: str | None = None,
    batch: int = 32,
    resamples: int = 1000,
    seed: int = 0,
    draw: bool = True,
) -> dict[str, Any]:
    """Scores a labelled set with a bundle and writes metrics.json, slices.csv, report.md, roc.png, slices.png and
    speed.json into `out`; returns the metrics. Run twice, all but speed.json are the same bytes.

    `data`: a SliceSet or a path for `datasets.load`; `bundle`: a Bundle or its path. A set that is split is judged on
    its "test" part, unless `split` names another. Slices of unknown label are left out and counted.

    Raises DataError when labels are missing or of one class only, or a score is not finite; BundleError, EngineError.
    """
    import matplotlib  # noqa: F401  that it lacks is said now, not after the work

    from maescan import datasets, engines

    bundle = Bundle.load(Path(bundle)) if isinstance(bundle, str | Path) else bundle
    slices = datasets.load(Path(data), bundle.preset, modality=modality) if isinstance(data, str | Path) else data
    slices, unknown = known_slices(slices, split)
    engine = engines.load(bundle, device=device, precision=precision, threads=threads)
    try:
        model = {"bundle": bundle.hash, "engine": engine.name, "unknown_slices": unknown}
        rule = bundle.manifest.get("aggregation")
        options: dict[str, Any] = {"batch": batch, "resamples": resamples, "seed": seed, "draw": draw}
        return judge(slices, engine, bundle.preset, out, model, rule, stressed=STRESSED, **options)
    finally:
        engine.close()


def known_slices(slices: SliceSet, split: str | None) -> tuple[SliceSet, int]:
    """Slices of known label of the part to judge, and how many others were left out. Raises DataError for none."""
    parts = slices.split
    if split is None and parts is not None and (np.asarray(parts) == "test").any():
        split = "test"
    if split is not None:
        if parts is None or not (np.asarray(parts) == split).any():
            raise DataError(f"the data set has no part '{split}'", remedy="leave --split out to use all of it")
        slices = slices.select(np.asarray(parts) == split)
    known = np.asarray(slices.label) >= 0
    if not known.any():
        raise DataError("no slice has a label", remedy="put labels.csv or masks/ beside the scans")
    return slices.select(known), int((~known).sum())


def judge(
    slices: SliceSet,
    engine: Any,
    preset: Preset,
    out: Path,
    model: Mapping[str, Any],
    rule: Mapping[str, Any] | None = None,
    *,
    batch: int = 32,
    resamples: int = 1000,
    seed: int = 0,
    draw: bool = True,
    stressed: int = 0,
) -> dict[str, Any]:
    """What `evaluate` does once data and engine are at hand. `stressed`: how many healthy slices get a lesion of
    every kind put in."""
    claim(out, "an evaluation")
    scored = score_set(slices, engine, preset, batch=batch)
    classifier = preset.network is not None
    name = f"MAE and {preset.network}" if classifier else f"MAE, {preset.measure} (no classifier)"
    found = summarise(slices, scored, rule=rule, probability=classifier, resamples=resamples, seed=seed)
    found["model"] = {"name": preset.name, "score": name, **model}
    if stressed:
        from maescan.evaluate.acceptance import stress_set

        found["stress"] = stress_set(slices, engine, preset, most=stressed, seed=seed)
    made = _draw(slices, scored, engine, preset, out, found) if draw else []
    _write(out, slices, scored, found, made)
    return found


def _write(out: Path, slices: SliceSet, scored: Scored, found: Mapping[str, Any], made: list[str]) -> None:
    write_json(out / "metrics.json", found)
    write_text(out / "report.md", report(found, pictures=made))
    columns = (slices.patient, slices.slice, slices.label, scored.score, slices.area)
    rows = [
        (str(patient), int(number), int(label), float(score), float(area))
        for patient, number, label, score, area in zip(*columns, strict=True)
    ]
    write_csv(out / "slices.csv", ("scan", "slice", "label", "score", "area"), rows)
    speed = {"slices": len(rows), "seconds": scored.seconds, "slices_per_second": len(rows) / scored.seconds}
    write_json(out / "speed.json", speed)


def _draw(
    slices: SliceSet, scored: Scored, engine: Any, preset: Preset, out: Path, found: Mapping[str, Any]
) -> list[str]:
    scores = {found["model"]["score"]: scored.score}
    for name, score in trivial_scores(slices).items():
        scores[name] = score if found["baselines"][name]["direction"] == "higher" else -score
    pictures.roc_picture(out / "roc.png", slices.label, scores)
    heat = {
        row: _heat(slices, numbers, engine, preset)
        for row, numbers in pictures.chosen(slices.label, scored.score).items()
    }
    pictures.slices_picture(out / "slices.png", slices, scored.score, heat, preset)
    return ["roc.png", "slices.png"]


def _heat(slices: SliceSet, numbers: NDArray[np.intp], engine: Any, preset: Preset) -> NDArray[np.float32]:
    from maescan.method.score import score_slices

    images = np.ascontiguousarray(slices.images[numbers], np.float32)
    made = score_slices(images, ids_of(slices.slice[numbers]), engine, preset, maps=True)
    return np.asarray(made.difference, np.float32).reshape(images.shape)
