"""`maescan merge`: the outputs of shards become the output of one run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from maescan import files
from maescan.config.types import Json
from maescan.decimals import counted
from maescan.engines.bundle import Bundle
from maescan.errors import ConfigError, DataError, MaescanError, quoted
from maescan.method.regions import check_reference
from maescan.records import Record, check, read, read_rows
from maescan.scans.source import LOOKED_INTO, PassedOver, Why
from maescan.scoring.database import reading
from maescan.scoring.job import Job, job_key
from maescan.scoring.ledger import Ledger
from maescan.scoring.names import names_of
from maescan.scoring.options import ScoreOptions, Shard
from maescan.scoring.outputs import outputs_of
from maescan.scoring.summary import Listing as Found
from maescan.scoring.summary import Summary, write_results

UNLIKE = ("shard", "workers", "batch", "force", "queue_bytes", "limit_s", "limit_memory_gb")
"""Options that may differ between shards: no score hangs on them."""


def merge(shards: Sequence[Path], bundle: Bundle, out: Path) -> Summary:
    """Puts the outputs of `--shard 1/N` .. `N/N` into `out`, as if one run had written them (run.json's times aside).

    Raises DataError for a shard that has not ended or has lost files, that is missing or there twice, of another
    bundle, of other options or of another listing (a scan came or went between two of them), where two call different
    scans alike, and for an `out` that holds what no merge wrote; ConfigError where `out` is a shard or lies in one:
    they are only read, and for a bundle that was calibrated by regions of another kind meanwhile. What is refused
    leaves `out` as it was.
    """
    for shard in shards:
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(shard)):
            raise ConfigError("is a shard, or lies in one", path=out, remedy="use another --out")
    runs = [read_run(shard) for shard in shards]
    options, engine = ScoreOptions.from_json(runs[0]["options"]), runs[0]["engine"]
    _check(shards, runs, job_key(bundle, engine, options))
    check_reference(bundle.manifest, options.read.regions)
    _check_labels(shards, runs)
    labels = {label for run in runs for label in run["labels"]}
    outputs = [output for shard in shards for output in _outputs(shard, runs[0]["job"], labels, maps=options.maps)]
    listing = _listing(shards, **runs[0]["listing"])
    check_merged(out)
    options = replace(options, shard=Shard(1, 1))  # of what is written: nobody is to take it for one of them
    ledger = Ledger(out, runs[0]["job"], names_of(options.pseudonyms))
    try:
        files.remove_partial(out)
        job = Job(bundle, SimpleNamespace(name=engine), out, options, ledger, lambda *_: None)
        files.write_text(out / MERGED, "")
        with ledger.db.transaction():
            for shard in shards:
                ledger.import_rows(shard)
            copies = [(file, job.outputs.path(kind, ledger.known(label))) for kind, label, file in outputs]
        for file, place in copies:
            with files.atomic_file(place) as temporary:
                shutil.copyfile(file, temporary)
        rows = {row.label: row for row in ledger.rows() if row.label in labels}
        job.failed = {failure.scan: failure for failure in ledger.failures() if failure.scan in labels}
        job.seen, job.slices = rows.keys() - job.failed, sum(len(row.scores) for row in rows.values())
        seconds = max(run["seconds"] for run in runs)
        return write_results(job, listing, seconds=seconds)
    finally:
        ledger.close()


AGAIN = "score all shards again, each into a new folder"
ENDED = "run its `maescan score --shard` again to the end"
SHARD = "name the --out of a `maescan score --shard`"
MERGED = f"{files.OUTPUT}/merged"
"""Marks an output folder that holds what merges put there, and nothing else."""


def check_merged(out: Path) -> None:
    """Raises DataError for an output folder with scans of anything but merges: a merge would take rows and maps away
    that nobody else has, and put scores of before over later ones."""
    if (out / MERGED).is_file() or not (out / files.OUTPUT / "ledger.sqlite").is_file():
        return
    with reading(out / files.OUTPUT) as db:
        begun = db.execute("SELECT 1 FROM sqlite_master").fetchone()  # else its tables were never made
        count = db.execute("SELECT COUNT(*) FROM scans").fetchone()[0] if begun else 0
    if count:
        reason = f"holds {counted(count, 'scan')} and is not marked as a merge's own, so it takes no merge"
        raise DataError(reason, path=out, remedy="use another --out, a new or an empty one")


def unmerged(out: Path) -> None:
    """From now on `out` holds other scans too."""
    if (out / MERGED).exists():
        with files.written_into(out):
            (out / MERGED).unlink()


class Listing(Record, frozen=True):
    """What a run's search found."""

    key: str
    scans: int


class Counts(Record, frozen=True):
    """What came of the scans."""

    found: int


class Asked(Record, frozen=True):
    """What of a run's options a merge reads."""

    shard: tuple[int, int]


class PassedRow(Record, frozen=True):
    """Of passed_over.csv."""

    file: str
    why: str
    reason: str


class Run(Record, frozen=True):
    """What of run.json a merge reads."""

    job: str
    engine: str
    options: Asked
    listing: Listing | None
    scans: Counts
    seconds: float
    labels: list[str] | None


def read_run(shard: Path) -> Json:
    """run.json. Raises DataError for one that no finished `maescan score` wrote."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if (kind := files.kind_of(shard)) and "scores" not in kind:
            raise DataError(f"holds {kind}, and is no shard", path=shard, remedy=SHARD)
    try:
        run: Json = dict(read(dict[str, object], shard / "run.json", remedy=ENDED))
        check(Run, run, path=shard / "run.json", remedy=ENDED)
        ScoreOptions.from_json(run["options"])
    except (DataError, ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"holds no finished run: {_words(error)}", path=shard, remedy=ENDED) from error
    if run["listing"] is None:
        raise DataError("was written by `maescan watch` or `listen`, and is no shard", path=shard, remedy=SHARD)
    return run


def _words(error: Exception) -> str:
    return error.reason if isinstance(error, MaescanError) else f"an unknown option ({type(error).__name__})"


def _check(shards: Sequence[Path], runs: list[Json], job: str) -> None:
    first = runs[0]
    if first["job"] != job:
        raise DataError("was scored with another bundle", path=shards[0], remedy="name the bundle of the shards")
    for shard, run in zip(shards, runs, strict=True):
        other = sorted(name for name, value in _asked(run).items() if value != _asked(first).get(name))
        if run["job"] != job or other:
            remedy = "score all shards with the same bundle, engine and options"
            which = f": {', '.join(other)}" if other else ""
            raise DataError(f"was scored with other options than {shards[0]}{which}", path=shard, remedy=remedy)
        if run["listing"] != first["listing"]:
            counts = f"{run['listing']['scans']} scans, {shards[0]} of {first['listing']['scans']}"
            raise DataError(f"is a shard of another listing: of {counts}", path=shard, remedy=AGAIN)
    there = sorted(Shard(*run["options"]["shard"]) for run in runs)
    count = max(parts for _, parts in there)
    if there != [Shard(number, count) for number in range(1, count + 1)]:
        listed = ", ".join(f"{number}/{of}" for number, of in there)
        remedy = f"name 1/{count} to {count}/{count}, each once"
        raise DataError(f"the shards are {listed}", path=shards[0], remedy=remedy)
    found = sum(run["scans"]["found"] for run in runs)
    if found != first["listing"]["scans"]:
        raise DataError(f"{found} of {first['listing']['scans']} scans are there", path=shards[0], remedy=AGAIN)


def _asked(run: Json) -> Json:
    """The options that change what is written, as they are typed but for those of reading."""
    options = {name: value for name, value in run["options"].items() if name not in UNLIKE}
    return options | {"read": {name: value for name, value in options["read"].items() if name not in UNLIKE}}


def _listing(shards: Sequence[Path], key: str, scans: int) -> Found:
    """What the shards' searches found together."""
    passed = [PassedOver(name, Path(name), cast(Why, why), reason) for name, why, reason in _passed_over(shards)]
    return Found(key, scans, scans, passed)  # label maps and pictures among them, as in one run


def _passed_over(shards: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Rows of passed_over.csv: what the search passed over is the same in all, label maps and pictures are not."""
    found: dict[tuple[str, str, str], None] = {}
    for shard in shards:
        if (shard / "passed_over.csv").is_file():
            rows = read_rows(PassedRow, shard / "passed_over.csv", remedy=ENDED)
            found.update(dict.fromkeys((row.file, row.why, row.reason) for row in rows))
    return sorted(found, key=lambda row: (row[1] in LOOKED_INTO, row[0] if row[1] in LOOKED_INTO else ""))


def _check_labels(shards: Sequence[Path], runs: list[Json]) -> None:
    """Raises DataError for a scan that two shards know, and for one that was neither scored by its run nor has
    failed: a later one, of other options perhaps, was killed."""
    known: set[str] = set()
    for shard, run in zip(shards, runs, strict=True):
        with reading(shard / files.OUTPUT) as db:
            done = "(scores IS NOT NULL AND job = ?) OR failure IS NOT NULL"
            found = dict(db.execute(f"SELECT label, {done} FROM scans", (run["job"],)))
        if undone := [label for label in run["labels"] if not found.get(label)]:
            reason = f"was written into by a run that has not ended: {quoted(undone[0])} has no score of it now"
            raise DataError(reason, path=shard, remedy=ENDED)
        taken = set(found)
        if twice := sorted(known & taken):
            raise DataError(f"holds {quoted(twice[0])}, which another shard holds", path=shard, remedy=AGAIN)
        known |= taken


def _outputs(shard: Path, job: str, labels: Collection[str], *, maps: bool) -> list[tuple[str, str, Path]]:
    """(kind, label, path) of a shard's maps and pictures. Raises DataError where one of a scan of its run is gone;
    maps: whether the run asked for them."""
    found = outputs_of(shard, job)
    asked = [(label, file) for kind, label, file in found if maps or kind == "picture"]
    lost = [file for label, file in asked if label in labels and not file.is_file()]
    if lost:
        name = quoted(str(lost[0].relative_to(shard)))
        raise DataError(f"lacks {name}, which it wrote", path=shard, remedy=ENDED)
    return [output for output in found if output[2].is_file()]
