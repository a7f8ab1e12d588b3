"""Scores held-back healthy scans and keeps them in a bundle as the reference of p-values and alerts (`conformal`)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from maescan.config import Preset
from maescan.config.types import Json
from maescan.content import read_content
from maescan.decimals import counted
from maescan.engines.bundle import Bundle, update
from maescan.engines.manifest import parse
from maescan.errors import ConfigError, DataError, MaescanError, escaped
from maescan.folders import check_changeable
from maescan.method import aggregate, regions
from maescan.method.gate import Fit
from maescan.method.healthy import gather, profile
from maescan.method.heat import full_scale
from maescan.results.geometry import Geometry
from maescan.results.rows import Failure, ScanRow
from maescan.scoring import run
from maescan.scoring.conformal import needed
from maescan.scoring.job import Event
from maescan.scoring.ledger import rows_of
from maescan.scoring.names import kept_in, names_of
from maescan.scoring.options import CalibrateOptions, EngineOptions, ScoreOptions

RULES: dict[str, Json] = {
    "max": {"method": "max"},
    "top": {"method": "top", "k": 3},
    "area": {"method": "area", "threshold": 0.5},
}


def calibrate(
    bundle: Path,
    healthy: Sequence[Path],
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
    how: CalibrateOptions = CalibrateOptions(),
    listen: Event = run.unheard,
) -> tuple[Json, list[dict[str, str]]]:
    """Scores held-back healthy scans and writes their reference into the bundle; returns it, and what was left out.

    Raises DataError when a scan cannot be scored, is of another kind than the bundle's, is there twice or trained the
    bundle, unless `how.skip_failed` leaves it out; for a folder that says itself that some are ill; and for too few
    scans to alert in the place of enough, unless `how.fewer`. Raises ConfigError for a rule of aggregation that there
    is not, and as `run.score_paths` does.
    """

    if how.aggregation not in (None, *RULES):
        raise ConfigError(f"unknown aggregation '{how.aggregation}'", remedy=f"use one of {', '.join(RULES)}")
    loaded = Bundle.load(bundle)
    check_changeable(bundle)
    if how.aggregation == "area" and loaded.preset.network is None:
        reason = (
            f"area counts slices whose probability is over 0.5, and this bundle scores with {loaded.preset.measure}"
        )
        raise ConfigError(reason, path=bundle, remedy="use max or top")
    chosen = RULES[how.aggregation] if how.aggregation else loaded.manifest.get("aggregation") or aggregate.DEFAULT
    out = how.out or folder_of(bundle)
    with kept_in(names_of(options.pseudonyms), [out, bundle], *healthy):
        within = replace(options, pictures=0, maps=False, dicom=(), healthy=True)
        summary = run.score_paths(list(healthy), bundle, out, engine, within, listen)
        if summary.failures and not (how.skip_failed and summary.scored):
            first = summary.failures[0]
            remedy = "repair it, leave it out, or let --skip-failed do so; what was scored is kept"
            raise DataError(f"{first['scan']} cannot be scored: {first['reason']}", path=healthy[0], remedy=remedy)
        ours = {row["scan"] for row in summary.scored}
        rows = [row for row in rows_of(out) if row.label in ours]
        if not rows:
            raise DataError("holds no scan that can be scored", path=healthy[0], remedy="give healthy scans")
        unfit = (
            {} if "modality" in options.read.accept else {row.label: row.why for row in rows if row.fit == Fit.other}
        )
        unfit |= no_reference(rows)
        if unfit and not (how.skip_failed and len(unfit) < len(rows)):
            label, reason = next(iter(unfit.items()))
            remedy = "leave it out, or let --skip-failed do so"
            raise DataError(f"{label} is no healthy scan to compare with: {reason}", path=healthy[0], remedy=remedy)
        kept = [row for row in rows if row.label not in unfit]
        if not how.fewer:
            _check_enough(loaded, len(kept))
        cut = {"regions": regions.way_of(options.read.regions)} if options.read.regions else {}
        made = reference_of(kept, chosen) | healthy_maps(kept, loaded.preset) | cut | _counts(kept, summary.whose)
        reference = _dated(made, loaded)
        update(bundle, calibration=reference, aggregation=chosen)
        left_out = [Failure(label, "calibrate", reason, "", "")._asdict() for label, reason in unfit.items()]
        return reference, [*summary.failures, *left_out]


def _counts(rows: Sequence[ScanRow], whose: Mapping[str, str]) -> dict[str, int]:
    """What makes a reference tell less than as many scans do: several of one patient, and those unlike training's."""
    patients, unlike = len({whose.get(row.label, row.label) for row in rows}), sum(row.fit != Fit.ok for row in rows)
    several = {"patients": patients} if patients < len(rows) else {}
    return several | ({"unlike": unlike} if unlike else {})


def _dated(reference: Json, bundle: Bundle) -> Json:
    """A reference with the day that it is of: the one that the bundle has of the same scores, else today."""
    before = bundle.manifest.get("calibration") or {}
    same = json.dumps({**reference, "made": before.get("made")}, sort_keys=True) == json.dumps(before, sort_keys=True)
    return before if same else {**reference, "made": datetime.now(UTC).date().isoformat()}


def _check_enough(bundle: Bundle, scans: int) -> None:
    """Raises DataError where scans can alert at the default rate now, and could not by a reference of so few."""
    before = len((bundle.manifest.get("calibration") or {}).get("scans", ()))
    least = needed(ScoreOptions().alert_rate) or 0
    if scans < least <= before:
        those = counted(before, "scan")
        reason = f"is calibrated with {those}; with these {scans} no scan could alert at the default rate"
        remedy = f"give {least} or more healthy scans, or replace its reference all the same by --fewer"
        raise DataError(reason, path=bundle.path, remedy=remedy)


def reference_told(bundle: Path) -> str:
    """The reference that a bundle has, for people; "" for none, also where its manifest cannot be read."""
    file = bundle / "manifest.json"
    try:
        found = parse(read_content(file), file).get("calibration") or {}
    except (OSError, MaescanError):
        return ""
    day = f", scored on {escaped(str(found['made']))}" if found.get("made") else ""
    return f"{len(found['scans'])} scans{day}" if found.get("scans") else ""


def folder_of(bundle: Path) -> Path:
    """Where a bundle's healthy scans are scored, unless another folder is named."""
    place = Path(os.path.realpath(bundle))
    return place.with_name(f"{place.name}-calibration")


def no_reference(rows: Sequence[ScanRow]) -> dict[str, str]:
    """Scans that say nothing of how others score, and why: p-values hold among different scans that training has not
    seen. Told by the scans' values, whatever their names and formats."""
    unfit, first = {}, dict[str, str]()
    for row in rows:
        if row.trained:
            unfit[row.label] = "the bundle was trained with it"
        elif row.print and first.setdefault(row.print, row.label) != row.label:
            unfit[row.label] = f"it is a copy of {first[row.print]}"
    return unfit


def reference_of(rows: Sequence[ScanRow], rule: Mapping[str, object]) -> dict[str, object]:
    """A manifest's "calibration": ascending scores of the scans and of all their slices, to the last bit; where in
    their scans these slices lie; the highest slice of each scan and how many it has; and what the scans are like."""
    slices = {row.label: row.seen.astype(np.float64).tolist() for row in rows}
    places = [None if row.positions is None else np.delete(row.positions, list(row.missing)) for row in rows]
    pairs = sorted(
        (score, round(float(at), 4))
        for row, place in zip(rows, places, strict=True)
        for score, at in zip(slices[row.label], place if place is not None else row.seen * 0, strict=True)
    )
    names = sorted(set(rows[0].figures).intersection(*(row.figures for row in rows)))
    return {
        "scans": sorted(aggregate.scan_score(row.seen, rule) for row in rows),
        "slices": [score for score, _ in pairs],
        "positions": [at for _, at in pairs] if all(place is not None for place in places) else [],
        "worst": sorted(max(scores) for scores in slices.values()),
        "counts": sorted(map(len, slices.values())),
        "figures": {name: sorted(row.figures[name] for row in rows) for name in names},
        "scores_sha256": hashlib.sha256(repr(sorted(slices.items())).encode()).hexdigest(),
    }


def healthy_maps(rows: Sequence[ScanRow], preset: Preset) -> dict[str, object]:
    """A manifest's "calibration", continued: how high maps of healthy scans are, and their slices from below to
    above; nothing for patches of a CT."""
    places = [Geometry.from_json(row.geometry) for row in rows]
    boxes = [place.box for place in places if place and place.box]
    heats = [row.heat for row in rows if row.heat]
    if not rows or len(boxes) < len(rows) or len(heats) < len(rows):
        return {}
    curves = profile([row.scores for row in rows], [box[0] for box in boxes])
    return {"maps": gather(heats, full_scale(preset)).to_json(), "profile": curves}
