"""`maescan evaluate`: a bundle on a labelled set, beside the trivial baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.config.types import Json
from maescan.datasets.cache import preprocessing
from maescan.datasets.sliceset import SliceSet
from maescan.engines.bundle import Bundle
from maescan.errors import DataError, defused, installing
from maescan.evaluate import pictures
from maescan.evaluate.baselines import trivial_scores
from maescan.evaluate.detection import froc
from maescan.evaluate.groups import by_group, read_groups, rows_not_used
from maescan.evaluate.healthy import (
    HealthyScores,
    at_healthy_threshold,
    dice_at_healthy_threshold,
    healthy_scores,
    marked_over,
)
from maescan.evaluate.markdown import report
from maescan.evaluate.output import EVALUATION, FILES, PICTURES, output, told
from maescan.evaluate.scans import trained_scans, unlike_scans
from maescan.evaluate.scored import Scored, score_set
from maescan.evaluate.summary import NO_MASKS, summarise
from maescan.files import write_csv, write_json, write_text
from maescan.folders import Taken
from maescan.method.engine import Engine
from maescan.method.prints import every_print
from maescan.options import EngineOptions, EvaluateOptions


def evaluate(
    data: SliceSet | Path | str,
    bundle: Bundle | Path | str,
    out: Path,
    engine: EngineOptions | None = None,
    options: EvaluateOptions | None = None,
    listen: Callable[[str], None] | None = None,
) -> Json:
    """Scores a labelled set with a bundle and writes metrics.json, slices.csv, report.md, roc.png, slices.png and
    speed.json into `out`; returns the metrics. Run twice, all but speed.json are the same bytes.

    `data`: a SliceSet or a path for `datasets.load`, which tells `listen`; `bundle`: a Bundle or its path. A set that
    is split is judged on its "test" part, unless `options.split` names another. Slices of unknown label are left out
    and counted.

    Raises DataError when labels are missing or of one class only, or a score is not finite; BundleError, EngineError.
    """
    import matplotlib  # noqa: F401  that it lacks is said now, not after the work

    from maescan import datasets, engines

    engine, options = engine or EngineOptions(), options or EvaluateOptions()
    with output(out, EVALUATION, listen) as run:
        bundle = Bundle.load(Path(bundle)) if isinstance(bundle, str | Path) else bundle
        running = engines.load(bundle, **engine.to_json())  # before hours of reading
        model: Json = {"about": told(bundle, data)}
        try:
            table: Path | None = options.groups
            where: Path | None = None
            if isinstance(data, str | Path):
                table = table or next((file for file in [Path(data) / "participants.tsv"] if file.is_file()), None)
                where = Path(data)
                data = datasets.load(where, bundle.preset, modality=options.modality, listen=listen)
            try:
                slices, unknown = known_slices(data, options.split)
            except DataError as error:
                error.path = error.path or where
                raise
            model |= {"bundle": bundle.hash, "weights": bundle.model, "engine": running.name}
            model["unknown_slices"] = unknown
            model["trained_scans"] = trained_scans(data, slices.patient, bundle.manifest)
            model["left_out"] = [scan._asdict() for scan in data.left_out]
            model["unlike_scans"] = unlike_scans(data, slices.patient, bundle.manifest)
            model["aggregation"] = bundle.manifest.get("aggregation")
            model["healthy"] = healthy_scores(data, slices, bundle.manifest, running, bundle.preset)
            model["groups"] = read_groups(table) if table else {}
            model["marked_over"] = marked_over(bundle.manifest, bundle.preset)
            return _judge(slices, running, bundle.preset, run, model, options)
        finally:
            running.close()


def known_slices(slices: SliceSet, split: str | None) -> tuple[SliceSet, int]:
    """Slices of known label of the part to judge, and how many others were left out. Raises DataError
    for none, or for one class alone."""
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
    judged = slices.select(known)
    if len(there := np.unique(judged.label)) < 2:
        only = "abnormal" if there[0] else "healthy"
        remedy = "give a set, or a --split of it, with both kinds; a folder's are told by labels.csv or masks/"
        more = "; `maescan stress` needs healthy scans alone" if only == "healthy" else ""
        raise DataError(f"all its slices are {only}: nothing is there to tell from others", remedy=remedy + more)
    return judged, int((~known).sum())


def evaluate_slices(
    slices: SliceSet, engine: Engine, preset: Preset, out: Path, model: Json, options: EvaluateOptions
) -> Json:
    """What `evaluate` does once data and engine are at hand. `model`: what the report says of it, and if there are
    any its "aggregation" of slice scores to a scan's, "healthy" scores (`HealthyScores`) and "groups" of scans."""
    with output(out, EVALUATION) as run:
        return _judge(slices, engine, preset, run, model, options)


def _judge(
    slices: SliceSet, engine: Engine, preset: Preset, run: Taken, model: Json, options: EvaluateOptions
) -> Json:
    scored = score_set(slices, engine, preset, batch=options.batch)
    classifier = preset.network is not None
    name = f"MAE and {preset.network}" if classifier else f"MAE, {preset.measure} (no classifier)"
    rule, seed = model.get("aggregation"), options.seed
    metrics = summarise(slices, scored, rule=rule, probability=classifier, resamples=options.resamples, seed=seed)
    metrics["data"]["preprocessing"] = preprocessing(preset)
    metrics["model"] = {"name": preset.name, "score": name} | {k: v for k, v in model.items() if k not in BESIDE}
    metrics |= found_beside(slices, scored, model, metrics["missing"])
    if options.stressed:
        from maescan.evaluate.acceptance import stress_set

        metrics["stress"] = stress_set(slices, engine, preset, most=options.stressed, seed=seed)
    drawn = PICTURES if options.draw else []
    run.replace([*FILES[EVALUATION], *drawn], model.get("about", ""))
    if drawn:
        _draw(slices, scored, engine, preset, run.out, metrics)
    _write(run.out, slices, scored, metrics, drawn)
    return metrics


AT_ONCE = 256
"""Slices that are read to be hashed."""

BESIDE = ("about", "aggregation", "healthy", "groups", "marked_over")


def found_beside(slices: SliceSet, scored: Scored, model: Json, missing: dict[str, str]) -> dict[str, object]:
    """What rests on healthy slices beside those judged, on lesions as wholes, and on a table of the scans."""
    healthy: HealthyScores | None = model.get("healthy")
    label, patient, pixels = np.asarray(slices.label), np.asarray(slices.patient), scored.pixels
    at = at_healthy_threshold(label, scored.score, healthy, patient) if healthy else None
    if at is None:
        missing["healthy_threshold"] = (
            "no validation part has healthy slices of others, and the bundle is not calibrated by slices like these"
        )
    dice = None
    if pixels is not None and pixels.heat.lesion.any() and pixels.healthy.normal.any():
        beside = healthy.heat if healthy else None
        source = "the set's own" if beside is None else "validation"
        dice = dice_at_healthy_threshold(pixels.heat, beside or pixels.healthy, source)
        if over := model.get("marked_over"):
            dice["marked"] = {"dice": pixels.heat.dice_at(over), "threshold": over}
    lesions = froc(scored.detections, label, patient, slices.slice) if scored.detections else None
    if lesions is None:
        why = f"{NO_MASKS}, or no slice without a lesion"
        unseen = pixels is not None and scored.detections is None
        missing["froc"] = installing("it needs scipy: pip install 'maescan[evaluate]'") if unseen else why
    if others := rows_not_used(model.get("groups", {}), patient, slices.whose):
        missing["groups"] = others
    threshold = at.threshold if at else None
    groups = by_group(model.get("groups", {}), label, scored.score, patient, threshold, slices.whose)
    return {"healthy_threshold": at._asdict() if at else None, "dice": dice, "froc": lesions, "groups": groups}


def _write(out: Path, slices: SliceSet, scored: Scored, metrics: Json, drawn: list[str]) -> None:
    write_json(out / "metrics.json", metrics)
    write_text(out / "report.md", report(metrics, pictures=drawn))
    columns = (slices.patient, slices.slice, slices.label, scored.score, slices.area, slices.height)
    rows = [
        (
            defused(str(scan)),
            int(number),
            int(label),
            repr(float(score)),  # every digit: figures made of these are the report's own
            repr(float(area)),
            float(height),
            defused(str(subject)),
            one,
        )
        for scan, number, label, score, area, height, subject, one in zip(
            *columns, slices.subject, _prints(slices), strict=True
        )
    ]
    write_csv(out / "slices.csv", ("scan", "slice", "label", "score", "area", "height", "patient", "print"), rows)
    speed = {"slices": len(rows), "seconds": scored.seconds, "slices_per_second": len(rows) / scored.seconds}
    write_json(out / "speed.json", speed)


def _prints(slices: SliceSet) -> list[str]:
    parts = (np.asarray(slices.images[at : at + AT_ONCE]) for at in range(0, len(slices), AT_ONCE))
    return [one for part in parts for one in every_print(part)]


def _draw(slices: SliceSet, scored: Scored, engine: Engine, preset: Preset, out: Path, metrics: Json) -> None:
    scores = {metrics["model"]["score"]: scored.score}
    for name, score in trivial_scores(slices).items():
        scores[name] = score if metrics["baselines"][name]["direction"] == "higher" else -score
    pictures.roc_picture(out / "roc.png", slices.label, scores)
    heat = {
        row: _heat(slices, numbers, engine, preset)
        for row, numbers in pictures.chosen(slices.label, scored.score).items()
    }
    pictures.slices_picture(out / "slices.png", slices, scored.score, heat, preset)


def _heat(slices: SliceSet, numbers: NDArray[np.intp], engine: Engine, preset: Preset) -> NDArray[np.float32]:
    from maescan.method.heat import mapped_slices

    images = np.ascontiguousarray(slices.images[numbers], np.float32)
    drawn = mapped_slices(images, slices.keys[numbers], engine, preset)
    return np.asarray(drawn.difference, np.float32).reshape(images.shape)
