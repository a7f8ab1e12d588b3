"""`maescan view`: the page of one scored scan, from what an output folder knows of it."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maescan.content import may_be_there
from maescan.errors import ConfigError, DataError, ScanError, defused, quoted
from maescan.files import OUTPUT, check_outside, kind_of
from maescan.options import ReadOptions
from maescan.records import Record, decode, read, read_rows
from maescan.results.maps import read_heat
from maescan.results.view import Volume, grey_volume, heat_volume, write_view
from maescan.scans.budget import Limits
from maescan.scans.read import read_scan
from maescan.scans.scan import missing_slices
from maescan.scans.search import search_all
from maescan.scans.source import ScanSource
from maescan.scans.streams import content_hash
from maescan.scans.worker import Worker
from maescan.scoring.database import reading
from maescan.scoring.dicom import verdict_key, verdict_of
from maescan.scoring.edited import edited
from maescan.scoring.job import Job
from maescan.scoring.ledger import Ledger
from maescan.scoring.outputs import Outputs, outputs_of
from maescan.scoring.places import place_of

MARK = '<meta name="generator" content="maescan view">'
"""In every page: only such a file is written over."""
SLICES = {"axis": "Score of each axial slice", "unscored": "missing, not scored"}
PATCHES = {"axis": "Highest score of the patches in each axial slice", "unscored": "no patch of it was scored"}
"""What a page says of the scores that it shows, and where there is none."""


class BundleOf(Record, frozen=True):
    """The bundle of a run. cautions: what it is for, and what it does not find."""

    hash: str
    cautions: tuple[str, ...] = ()


class Asked(Record, frozen=True):
    """What of a run's options a page needs."""

    read: dict[str, object]
    alert_rate: float
    pseudonyms: str | None = None


class Levels(Record, frozen=True):
    """What of a scan's result in the ledger a page needs."""

    levels: tuple[int, ...] = ()


class Run(Record, frozen=True):
    """What of run.json a page needs."""

    job: str
    maescan: str
    engine: str
    bundle: BundleOf
    options: Asked


@dataclass(frozen=True)
class Scored:
    """A scan as the ledger has it. scores [S]; place: where it lay; content: hash of its files then; levels: of CT
    patches, the axial slice of each."""

    label: str
    identity: str
    place: str
    content: str
    scores: NDArray[np.float32]
    levels: Sequence[int]

    def of_slices(self, missing: Sequence[int], slices: int) -> list[float | None]:
        """Of each axial slice its score, or the highest of its CT patches; None where there is none."""
        if not self.levels:
            return [None if at in missing else score for at, score in enumerate(self.scores.tolist())]
        found: list[float | None] = [None] * slices
        for at, score in sorted(zip(self.levels, self.scores.tolist(), strict=True)):
            found[at] = score  # the highest comes last
        return found


class Viewer:
    """What a worker does: it reads the scan."""

    def read(self, source: ScanSource, options: ReadOptions, content: str) -> tuple[Volume, tuple[int, ...]]:
        """The scan, and which of its axial slices are missing. Raises ScanError, also where it is no longer what was
        scored."""
        if content_hash(source.files) != content:
            remedy = "score it again, then view it"
            raise ScanError("has changed since it was scored", path=source.path, remedy=remedy)
        scan = read_scan(source, volume=options.volume, accept=options.accept)
        return grey_volume(scan), missing_slices(scan)


def view(out: Path, scan: str, page: Path | None = None) -> Path:
    """Writes the page of the scan that `out` calls so into `page`, by default into `out`, whose next report links to
    it; returns where it is.

    Raises DataError: no such output folder or scan, or one scored without maps; ScanError: the scan or its map cannot
    be read, or the scan has changed; ConfigError for a page that is no page of maescan's."""
    remedy = "name the --out of a finished `maescan score`"
    try:
        run = read(Run, out / "run.json", remedy=remedy)
        options = ReadOptions.from_json(run.options.read)
    except (DataError, ConfigError, ValueError, KeyError, TypeError) as error:
        raise DataError("holds no finished run", path=out, remedy=remedy) from error
    job, made = run.job, f"maescan {run.maescan}, {run.engine}, bundle {run.bundle.hash[:12]}. For research."
    if run.options.pseudonyms:
        remedy = "score the scan into another --out without --pseudonyms, and view it there"
        raise DataError("was scored under pseudonyms: where its scans lie is not kept", path=out, remedy=remedy)
    if page is not None:
        _check_page(page)
    found = _scored(out, job, scan)
    heat, affine, full, values = _map(out, job, found.label)
    grey, missing = _read(found, options)
    slices = grey.voxels.shape[2]
    if max(found.levels) >= slices if found.levels else len(found.scores) != slices:
        raise ScanError(
            "has another number of slices than were scored", path=Path(found.place), remedy="score it again"
        )
    key = verdict_key(job, run.bundle.hash, run.engine, (run.options.alert_rate, "modality" in options.accept))
    scale = f"0 to {full:.3g}: {values}"
    words = _words(out, found.label, run.bundle.cautions)
    facts = {**words, "made": made, "full": str(full), "scale": scale, "key": key}
    facts |= PATCHES if found.levels else SLICES
    with _target(out, job, found.label, page) as path:
        listed = found.of_slices(missing, slices)
        write_view(path, found.label, grey, heat_volume(heat, affine, full), listed, facts)
    return path


def drop_outdated(job: Job) -> None:
    """Removes the pages in a job's folder whose verdict is of another calibration, alert rate or --accept."""
    mark = f'<meta name="verdict" content="{verdict_of(job)}">'
    for path in job.outputs.of("view").values():
        if not _is_page(path, mark):
            job.outputs.drop(path)


def _check_page(page: Path) -> None:
    check_outside(page, "use another --out")
    if os.path.lexists(page) and not _is_page(page):
        raise ConfigError("is no page that maescan wrote", path=page, remedy="name another --out")


def _is_page(path: Path, mark: str = MARK) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return mark in stream.read(4096)


@contextlib.contextmanager
def _target(out: Path, job: str, label: str, page: Path | None) -> Iterator[Path]:
    """Where the page goes: into `out`, where it is listed, while no run writes there; elsewhere it is open to nobody
    to whom `out` is not."""
    if page is not None:
        yield page
        page.chmod(page.stat().st_mode & (out.stat().st_mode | 0o600))
        return
    ledger = Ledger(out, job, kind=kind_of(out))
    try:
        yield Outputs(ledger).path("view", ledger.known(label))
    finally:
        ledger.close()


def _scored(out: Path, job: str, label: str) -> Scored:
    with reading(out / OUTPUT) as db:
        query = (
            "SELECT label, identity, place, content, scores, result FROM scans WHERE job = ? AND scores IS NOT NULL"
        )
        rows = {row[0]: row for row in db.execute(query, (job,))}
    label = label if label in rows else {defused(name): name for name in rows}.get(label, label)
    if label not in rows:
        near = [shlex.quote(name) for name in get_close_matches(label, rows, 3, 0.3)]
        remedy = f"it has {', '.join(near)}" if near else "see its scans.csv for names"
        raise DataError(f"has no scored scan '{label}'", path=out, remedy=remedy)
    name, identity, place, content, scores, result = rows[label]
    levels = decode(Levels, result, path=out, remedy="score it again").levels
    return Scored(name, identity, os.fsdecode(place), content, np.frombuffer(scores, "<f4"), levels)


def _map(out: Path, job: str, label: str) -> tuple[NDArray[np.float32], NDArray[np.float64], float, str]:
    """The map [X, Y, Z], its affine, the value that is drawn in full red, and what its values are."""
    for kind, of, path in outputs_of(out, job):
        if (kind, of) == ("map", label) and path.is_file():
            heat, affine, full, values = read_heat(path)
            return heat, affine, max(full, 1e-6), values
    raise DataError(f"has no heat map of '{label}'", path=out, remedy="score it again with --maps")


def _read(found: Scored, options: ReadOptions) -> tuple[Volume, tuple[int, ...]]:
    place, limits = Path(found.place.split("\0", maxsplit=1)[0]), Limits.of(options)
    if not may_be_there(str(place)):
        raise ScanError("is no longer where it was scored", path=place, remedy="put it back, or score it again")
    sources = [
        source
        for source in search_all([place], limits).sources
        if place_of(source) == found.place and source.identity in ("", found.identity)
    ]
    if not sources:
        raise ScanError("no longer holds the scan that was scored", path=place, remedy="score it again")
    worker = Worker(Viewer, limits=limits)
    try:
        return cast(
            "tuple[Volume, tuple[int, ...]]", worker.call("read", sources[0], options, found.content, path=place)
        )
    finally:
        worker.close()


def _words(out: Path, label: str, cautions: Sequence[str]) -> dict[str, str]:
    """What scans.csv says of a scan, and of all that the bundle scores. Raises DataError, also for one that somebody
    has written into."""
    table, again = out / "scans.csv", "score into its folder again, which keeps what was changed under another name"
    try:
        if edited(out, [table.name]):
            raise DataError("was changed since it was written", path=table, remedy=again)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=table, remedy="see who may read it") from error
    rows = {row["scan"]: row for row in read_rows(dict[str, str], table, remedy=again, columns=["scan"])}
    if defused(label) not in rows:
        reason = f"has no row of {quoted(label)}: the run that scored it has not ended"
        raise DataError(reason, path=table, remedy="run it again to the end")
    row = rows[defused(label)]
    parts = [f"score {row.get('score', '')}", f"p {row['p_value']}" if row.get("p_value") else "no p-value"]
    parts += {"yes": ["ALERT"], "no": ["no alert"]}.get(row.get("alert", ""), [])
    parts += [f"fit {row['fit']}"] if row.get("fit", "ok") != "ok" else []
    return {"verdict": ", ".join(parts), "notes": "; ".join(filter(None, [*cautions, row.get("warnings", "")]))}
