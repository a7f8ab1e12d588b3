"""Scoring a folder: find -> read and preprocess (processes) -> batch across scans -> engine -> aggregate -> write.

The engine runs in the calling thread and sets the pace; the queue before it is bounded by bytes, so memory does
not grow with the folder. A scan that fails becomes a row of failures.csv and never stops the others.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maescan import __version__
from maescan import files as outputs
from maescan.errors import ConfigError, DataError, MaescanError
from maescan.method import aggregate
from maescan.method import score as steps
from maescan.method.regions import Regions
from maescan.method.tokens import token_sets
from maescan.results.paths import map_path
from maescan.results.pictures import draw_worst
from maescan.results.report import write_report
from maescan.scoring.calibrate import Reference
from maescan.scoring.ledger import Ledger
from maescan.scoring.options import Format, ScoreOptions
from maescan.scoring.readers import Reader

Event = Callable[[str, dict[str, Any]], None]


@dataclass
class _Scan:
    """A scan on its way through the engine."""

    source: Any
    content: str
    prepared: Any
    images: np.ndarray
    facts: dict[str, Any]
    scores: np.ndarray
    maps: np.ndarray | None
    left: int


@dataclass
class Summary:
    """What a run did. Times in seconds a stage."""

    scored: list[dict[str, Any]]
    failures: list[dict[str, str]]
    skipped: int
    seconds: float
    slices: int
    stages: dict[str, dict[str, float]]
    calibration: dict[str, Any] | None = None


def score_folder(
    paths: Sequence[Path],
    bundle: Any,
    engine: Any,
    out: Path,
    options: ScoreOptions | None = None,
    event: Event | None = None,
) -> Summary:
    """Scores every scan under `paths` and writes scores.csv, scans.csv, failures.csv, run.json, maps/ into `out`.

    Raises DataError when there is no scan, or when `out` cannot be written or is being written by another run.
    """
    from maescan.scans.budget import Limits
    from maescan.scans.search import search

    options = options or ScoreOptions()
    number, count = options.shard
    key = {"bundle": bundle.hash, "engine": engine.name, "options": options.key()}
    ledger = Ledger(out, hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest())
    try:
        found = search(paths, Limits.of(options.read))
        if not found:
            raise DataError(
                "no scans found", path=paths[0], remedy="see which files maescan reads with `maescan inspect`"
            )
        sources = found[number - 1 :: count]
        outputs.remove_halves(out)
        run = _Run(sources, bundle, engine, out, options, ledger, event or (lambda name, facts: None))
        summary = run.go()
        failed = {row["scan"] for row in summary.failures}
        names = sorted(source.name for source in sources if source.name not in failed)
        draw_worst(
            out,
            ledger.results(names),
            {source.name: source for source in sources},
            bundle,
            engine,
            options.read,
            job=ledger.job,
            count=options.pictures,
        )
        _write_tables(out, bundle, engine, options, ledger, names, summary)
        return summary
    finally:
        ledger.close()


class _Run:
    def __init__(
        self,
        sources: list[Any],
        bundle: Any,
        engine: Any,
        out: Path,
        options: ScoreOptions,
        ledger: Ledger,
        event: Event,
    ):
        self.bundle, self.engine, self.out, self.options = bundle, engine, out, options
        self.ledger, self.event, self.total = ledger, event, len(sources)
        self.todo = iter(sources)
        self.lock = threading.Lock()
        self.ready: queue.Queue[_Scan | None] = queue.Queue()
        self.room = threading.Condition()
        self.bytes_queued = 0
        self.finished: queue.Queue[_Scan | None] = queue.Queue(maxsize=4)
        self.failures: list[dict[str, str]] = []
        self.skipped = 0
        self.times: dict[str, list[float]] = defaultdict(list)
        self.broken: BaseException | None = None

    def go(self) -> Summary:
        start = time.perf_counter()
        self.event("found", {"scans": self.total})
        workers = max(1, min(self.options.workers, self.total))
        readers = [threading.Thread(target=self._read, daemon=True) for _ in range(workers)]
        writer = threading.Thread(target=self._write, daemon=True)
        for thread in [*readers, writer]:
            thread.start()
        slices = 0
        try:
            for batch in self._batches(len(readers)):
                slices += self._score(batch)
        except BaseException as error:  # readers stop by themselves, finished scans are still recorded
            self.broken = error
        self.finished.put(None)
        writer.join()
        if self.broken is not None:
            raise self.broken
        seconds = time.perf_counter() - start
        return Summary([], self.failures, self.skipped, seconds, slices, _stages(self.times, seconds))

    # readers ---------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        reader: Reader | None = None
        try:
            while self.broken is None:
                with self.lock:
                    source = next(self.todo, None)
                if source is None:
                    break
                try:
                    reader = reader or Reader(
                        self.bundle.preset, self.options.read, expected=self.bundle.manifest.get("intensity")
                    )
                    content = reader.content(source)
                    if self._done(source.name, content):
                        self.skipped += 1
                        self.event("skipped", {"scan": source.name})
                        continue
                    self._admit(source, *reader.read(source))
                except ConfigError:
                    raise
                except MaescanError as error:
                    self._fail(source, "read", error)
        except BaseException as error:
            self.broken = error
        finally:
            if reader is not None:
                reader.close()
            self.ready.put(None)

    def _done(self, name: str, content: str) -> bool:
        lost = self.options.maps and not map_path(self.out, name).exists()
        return not (self.options.force or lost) and self.ledger.done(name, content)

    def _admit(self, source: Any, content: str, prepared: Any, images: np.ndarray, facts: dict[str, Any]) -> None:
        for stage, seconds in facts["seconds"].items():
            self.times[stage].append(seconds)
        with self.room:
            while self.bytes_queued and self.bytes_queued + images.nbytes > self.options.queue_bytes:
                self.room.wait(timeout=1.0)
                if self.broken is not None:
                    return
            self.bytes_queued += images.nbytes
        maps = np.zeros_like(images) if self.options.maps else None
        scores = np.zeros(len(images), dtype=np.float32)
        self.ready.put(_Scan(source, content, prepared, images, facts, scores, maps, len(images)))

    def _fail(self, source: Any, stage: str, error: MaescanError) -> None:
        row = {"scan": source.name, "stage": stage, "reason": error.reason, "remedy": error.remedy or ""}
        self.failures.append(row)
        self.event("failed", row)

    # engine ----------------------------------------------------------------------------------------------------
    def _batches(self, readers: int) -> Iterator[list[tuple[_Scan, int]]]:
        """Slices in batches of one token count, filled across scan borders: (scan, index of the slice).

        A partial batch goes when the engine would wait otherwise, so that no scan is held back for want of others.
        """
        size = self.options.batch or self.engine.batch
        waiting: dict[int, list[tuple[_Scan, int]]] = defaultdict(list)
        while self.broken is None and (readers or waiting):
            try:
                scan = self.ready.get(block=bool(readers) and not waiting)
            except queue.Empty:
                yield _take(waiting, max(waiting, key=lambda tokens: len(waiting[tokens])), size)
                continue
            if scan is None:
                readers -= 1
                continue
            sets = token_sets(scan.images, self.bundle.preset)
            for index, tokens in enumerate(np.zeros(len(scan.images), int) if sets is None else sets.size):
                waiting[int(tokens)].append((scan, index))
            full = [tokens for tokens, slices in waiting.items() for _ in range(len(slices) // size)]
            for tokens in full:
                yield _take(waiting, tokens, size)

    def _score(self, batch: list[tuple[_Scan, int]]) -> int:
        start = time.perf_counter()
        images = np.stack([scan.images[index] for scan, index in batch])
        ids = np.array([index for _, index in batch], dtype=np.uint64)
        result = steps.score_slices(images, ids, self.engine, self.bundle.preset, maps=self.options.maps)
        self.times["engine"].append(time.perf_counter() - start)
        for row, (scan, index) in enumerate(batch):
            scan.scores[index] = result.score[row]
            if scan.maps is not None and result.difference is not None:
                scan.maps[index] = result.difference[row]
            scan.left -= 1
            if scan.left == 0:
                self._release(scan)
        return len(batch)

    def _release(self, scan: _Scan) -> None:
        with self.room:
            self.bytes_queued -= scan.images.nbytes
            self.room.notify_all()
        scan.images = scan.images[:0]
        self.finished.put(scan)

    # writer ----------------------------------------------------------------------------------------------------
    def _write(self) -> None:
        while (scan := self.finished.get()) is not None:
            start = time.perf_counter()
            try:
                self._write_scan(scan)
            except MaescanError as error:  # the disk, not the scan: nothing more can be written
                self.broken = self.broken or error
            except BaseException as error:
                self.broken = self.broken or error
            self.times["write"].append(time.perf_counter() - start)

    def _write_scan(self, scan: _Scan) -> None:
        from maescan.method.preprocess import to_source

        if scan.maps is not None:
            tiled = isinstance(scan.prepared, Regions)
            volume = scan.prepared.score_map(scan.scores) if tiled else to_source(scan.maps, scan.prepared)
            outputs.write_nifti(map_path(self.out, scan.source.name), volume, scan.facts["affine"])
            scan.maps = None
        bad = np.flatnonzero(~np.isfinite(scan.scores))
        if len(bad):
            error = DataError(
                f"{len(bad)} slices have no finite score", remedy="check the bundle with `maescan verify`"
            )
            self._fail(scan.source, "score", error)
            return
        result = {
            "score": aggregate.scan_score(scan.scores, self.bundle.manifest.get("aggregation")),
            "slices": len(scan.scores),
            "worst_slice": int(np.argmax(scan.scores)),
            "warnings": scan.facts["warnings"],
        }
        if getattr(scan.prepared, "places", None) is not None:
            result["places"] = scan.prepared.places.tolist()
        self.ledger.add(scan.source.name, scan.content, scan.scores, np.asarray(scan.prepared.area), result)
        result.pop("places", None)
        self.event("scored", {"scan": scan.source.name, **result})


def _take(waiting: dict[int, list[Any]], tokens: int, size: int) -> list[Any]:
    """Up to `size` of those that wait at this token count."""
    batch, waiting[tokens] = waiting[tokens][:size], waiting[tokens][size:]
    if not waiting[tokens]:
        del waiting[tokens]
    return batch


def _stages(times: dict[str, list[float]], seconds: float) -> dict[str, dict[str, float]]:
    stages = {}
    for stage, values in times.items():
        p50, p95, p99 = (float(value) for value in np.percentile(values, [50, 95, 99]))
        stages[stage] = {"busy": sum(values) / seconds, "p50": p50, "p95": p95, "p99": p99}
    return stages


def _write_tables(
    out: Path, bundle: Any, engine: Any, options: ScoreOptions, ledger: Ledger, names: list[str], summary: Summary
) -> None:
    results = ledger.results(names)
    reference = Reference.of(bundle.manifest, options.alert_rate)
    summary.calibration = reference.state() if reference else None
    summary.scored = [{"scan": name, **result} for name, _, _, result in results]
    slice_rows, scan_rows = [], []
    for name, scores, areas, result in results:
        p_values = reference.slice_p(scores) if reference else [""] * len(scores)
        slice_rows += [
            (name, i, float(score), p, float(area))
            for i, (score, p, area) in enumerate(zip(scores, p_values, areas, strict=True))
        ]
        p_value, alert = reference.scan(result["score"]) if reference else ("", "")
        warnings = "; ".join(result["warnings"])
        scan_rows.append((name, result["score"], p_value, alert, result["slices"], result["worst_slice"], warnings))
    scan_columns = ("scan", "score", "p_value", "alert", "slices", "worst_slice", "warnings")
    slice_columns = ("scan", "slice", "score", "p_value", "area")
    outputs.write_csv(out / "scores.csv", slice_columns, slice_rows)
    if options.format is Format.parquet:
        outputs.write_parquet(out / "scores.parquet", slice_columns, slice_rows)
    outputs.write_csv(out / "scans.csv", scan_columns, scan_rows)
    regions = [
        (name, i, *place, float(score))
        for name, scores, _, result in results
        for i, (place, score) in enumerate(zip(result.get("places", ()), scores, strict=False))
    ]
    if regions:
        outputs.write_csv(out / "regions.csv", ("scan", "region", "x", "y", "z", "score"), regions)
    failures = sorted(summary.failures, key=lambda row: row["scan"])
    columns = ("scan", "stage", "reason", "remedy")
    outputs.write_csv(out / "failures.csv", columns, [[row[column] for column in columns] for row in failures])
    outputs.write_json(
        out / "run.json",
        {
            "maescan": __version__,
            "bundle": {"path": str(bundle.path), "hash": bundle.hash},
            "engine": engine.name,
            "calibration": summary.calibration,
            "job": ledger.job,
            "options": options.to_json(),
            "scans": {"scored": len(results), "failed": len(failures), "already_done": summary.skipped},
            "seconds": summary.seconds,
            "slices_per_second": summary.slices / summary.seconds if summary.seconds else 0.0,
            "stages": summary.stages,
        },
    )
    write_report(out)
