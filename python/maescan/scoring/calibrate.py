"""Scores held-back healthy scans and keeps them in a bundle as the reference of p-values and alerts (`conformal`)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import DataError
from maescan.method import aggregate
from maescan.method.gate import Fit
from maescan.results.rows import Failure, ScanRow
from maescan.scoring.ledger import rows_of
from maescan.scoring.options import EngineOptions, ScoreOptions

RULES: dict[str, dict[str, Any]] = {
    "max": {"method": "max"},
    "top": {"method": "top", "k": 3},
    "area": {"method": "area", "threshold": 0.5},
}


def calibrate(
    bundle: Path,
    healthy: Sequence[Path],
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(pictures=0),
    *,
    rule: str | None = None,
    skip_failed: bool = False,
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Scores held-back healthy scans and writes their reference into the bundle; returns it, and what was left out.

    `rule`: how slice scores become a scan's (max, top, area); default: what the bundle says. Raises DataError when a
    scan cannot be scored, is of another kind than the bundle's, is there twice or trained the bundle, unless
    `skip_failed` leaves it out; and as `run.score_paths` does.
    """
    from maescan.engines.bundle import Bundle, update
    from maescan.scoring.run import score_paths

    loaded = Bundle.load(bundle)
    chosen = RULES[rule] if rule else loaded.manifest.get("aggregation") or aggregate.DEFAULT
    with tempfile.TemporaryDirectory(prefix="maescan-calibrate-") as folder:
        summary = score_paths(list(healthy), bundle, Path(folder), engine, options)
        if summary.failures and not (skip_failed and summary.scored):
            first = summary.failures[0]
            remedy = "repair it, leave it out, or let --skip-failed do so"
            raise DataError(f"{first['scan']} cannot be scored: {first['reason']}", path=healthy[0], remedy=remedy)
        rows = rows_of(Path(folder))
    unfit = {} if "modality" in options.read.accept else {row.label: row.why for row in rows if row.fit == Fit.other}
    unfit |= no_reference(rows)
    if unfit and not (skip_failed and len(unfit) < len(rows)):
        label, reason = next(iter(unfit.items()))
        remedy = "leave it out, or let --skip-failed do so"
        raise DataError(f"{label} is no healthy scan to compare with: {reason}", path=healthy[0], remedy=remedy)
    reference = reference_of([row for row in rows if row.label not in unfit], chosen)
    update(bundle, calibration=reference, aggregation=chosen)
    left_out = [Failure(label, "calibrate", reason, "", "")._asdict() for label, reason in unfit.items()]
    return reference, [*summary.failures, *left_out]


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
    """A manifest's "calibration": ascending scores of the scans and of all their slices, to the last bit."""
    slices = {row.label: row.scores.astype(np.float64).tolist() for row in rows}
    return {
        "scans": sorted(aggregate.scan_score(row.scores, rule) for row in rows),
        "slices": sorted(chain.from_iterable(slices.values())),
        "scores_sha256": hashlib.sha256(repr(sorted(slices.items())).encode()).hexdigest(),
    }
