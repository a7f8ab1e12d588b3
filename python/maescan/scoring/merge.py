"""`maescan merge`: the outputs of shards become the output of one run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from maescan import files as outputs
from maescan.errors import DataError
from maescan.results.pictures import draw_worst
from maescan.scoring.ledger import Ledger
from maescan.scoring.options import ScoreOptions
from maescan.scoring.pipeline import Summary, _write_tables


def merge(shards: Sequence[Path], bundle: Any, out: Path) -> Summary:
    """Puts the outputs of `--shard 1/N` .. `N/N` into `out`, as if one run had written them (run.json's times aside).

    Raises DataError for a shard that has not ended, that is missing or there twice, or of another bundle or options.
    """
    runs = [_run_of(shard) for shard in shards]
    _check(shards, runs, bundle)
    given = runs[0]["options"]
    options = ScoreOptions.from_json(given)
    ledger = Ledger(out, runs[0]["job"])
    try:
        outputs.remove_halves(out)
        names: list[str] = []
        failures: list[dict[str, str]] = []
        for shard in shards:
            names += [row["scan"] for row in _rows(shard / "scans.csv")]
            failures += _rows(shard / "failures.csv")
            ledger.take(shard)
            _copy(shard, out)
        slices = sum(len(scores) for _, scores, _, _ in ledger.results(names))
        summary = Summary([], failures, 0, max(run["seconds"] for run in runs), slices, {})
        engine = SimpleNamespace(name=runs[0]["engine"])
        results = ledger.results(sorted(names))
        draw_worst(out, results, {}, bundle, engine, options.read, job=ledger.job, count=options.pictures)
        _write_tables(out, bundle, engine, options, ledger, sorted(names), summary)
        return summary
    finally:
        ledger.close()


def _run_of(shard: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads((shard / "run.json").read_text())
    except (OSError, ValueError) as error:
        remedy = "run its `maescan score --shard` again to the end"
        raise DataError("holds no finished run", path=shard, remedy=remedy) from error
    return run


def _check(shards: Sequence[Path], runs: list[dict[str, Any]], bundle: Any) -> None:
    for shard, run in zip(shards, runs, strict=True):
        if run["bundle"]["hash"] != bundle.hash:
            raise DataError("was scored with another bundle", path=shard, remedy="name the bundle of the shards")
        if run["job"] != runs[0]["job"]:
            remedy = "score all shards with the same engine and options"
            raise DataError(f"was scored with other options than {shards[0]}", path=shard, remedy=remedy)
    count = runs[0]["options"]["shard"][1]
    there = sorted(tuple(run["options"]["shard"]) for run in runs)
    if there != [(number, count) for number in range(1, count + 1)]:
        listed = ", ".join(f"{number}/{of}" for number, of in there)
        raise DataError(
            f"the shards are {listed}", path=shards[0], remedy=f"name 1/{count} to {count}/{count}, each once"
        )


def _rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _copy(shard: Path, out: Path) -> None:
    """Maps and pictures, whole or not at all."""
    for folder in ("maps", "pictures"):
        for file in sorted((shard / folder).rglob("*")):
            if file.is_file() and not file.name.startswith(".part-"):
                with outputs.whole_file(out / file.relative_to(shard)) as temporary:
                    shutil.copyfile(file, temporary)
