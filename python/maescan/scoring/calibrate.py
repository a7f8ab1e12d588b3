"""Scores held-back healthy scans and keeps them in a bundle as the reference of p-values and alerts (`conformal`)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import DataError
from maescan.method import aggregate
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
    scan cannot be scored, unless `skip_failed` leaves it out, and as `run.score_paths` does.
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
        slices = read_scores(Path(folder) / "scores.csv")
    scans = [aggregate.scan_score(np.array(values), chosen) for values in slices.values()]
    digest = hashlib.sha256(repr(sorted(slices.items())).encode()).hexdigest()
    reference = {
        "scans": sorted(round(score, 6) for score in scans),
        "slices": sorted(value for values in slices.values() for value in values),
        "scores_sha256": digest,
    }
    update(bundle, calibration=reference, aggregation=chosen)
    return reference, summary.failures


def read_scores(file: Path) -> dict[str, list[float]]:
    """Slice scores of every scan in a scores.csv."""
    import csv

    found: dict[str, list[float]] = {}
    with open(file, newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["scan"], []).append(float(row["score"]))
    return found
