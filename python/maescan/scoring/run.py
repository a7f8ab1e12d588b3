"""`maescan score`: loads the bundle's engine and runs the pipeline with a progress bar or JSON events."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from maescan.engines.bundle import Bundle
from maescan.scoring.alerts import passed_on
from maescan.scoring.job import Event
from maescan.scoring.options import AlertOptions, EngineOptions, ScoreOptions, WatchOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.summary import Summary

Show = Literal["progress", "json", "quiet"]


def score_paths(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
    *,
    alerts: AlertOptions = AlertOptions(),
    show: Show = "quiet",
) -> Summary:
    """Scores scans with a bundle's engine.

    Raises DataError (no scans, output cannot be written), BundleError (damaged, drifts), EngineError (cannot run),
    ConfigError (a bundle of CT patches without regions, or regions of anything else).
    """
    with (
        opened(bundle, engine, options) as (loaded, started),
        _shown(show) as shown,
        passed_on(shown, alerts) as event,
    ):
        return score_folder(paths, loaded, started, out, options, event)


@contextlib.contextmanager
def opened(bundle: Path, engine: EngineOptions, options: ScoreOptions) -> Iterator[tuple[Bundle, Any]]:
    """A bundle and its proven engine, which is closed at the end; what cannot be scored so is refused first."""
    from maescan import engines, kernels
    from maescan.method import regions

    kernels.set_threads(engine.threads)
    loaded = Bundle.load(bundle)
    regions.check(loaded.preset, options.read.regions)
    started = engines.load(
        loaded,
        device=engine.device,
        target=engine.target,
        precision=engine.precision,
        threads=engine.threads,
        trust=engine.trust,
    )
    try:
        yield loaded, started
    finally:
        started.close()


@contextlib.contextmanager
def _shown(show: Show) -> Iterator[Event]:
    if show == "quiet" or (show == "progress" and not sys.stderr.isatty()):
        yield lambda name, facts: None
        return
    if show == "json":
        yield _json
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed}/{task.total} scans"),
        BarColumn(),
        TextColumn("{task.fields[speed]:.1f} slices/s"),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("score", total=None, speed=0.0, failed=0)
        state = {"slices": 0, "failed": 0}

        def event(name: str, facts: dict[str, Any]) -> None:
            if name == "found":
                progress.update(task, total=facts["scans"])
                return
            if name not in ("scored", "failed", "skipped", "passed_over"):
                return
            state["slices"] += int(facts.get("slices", 0))
            state["failed"] += name == "failed"
            elapsed = progress.tasks[0].elapsed or 1e-9
            progress.update(task, advance=1, speed=state["slices"] / elapsed, failed=state["failed"])

        yield event


def watch_inbox(
    inbox: Path,
    bundle: Path,
    out: Path,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
    timing: WatchOptions = WatchOptions(),
    *,
    alerts: AlertOptions = AlertOptions(),
    show: Show = "progress",
) -> Summary:
    """Scores scans as they arrive in `inbox`, until SIGTERM or SIGINT. Raises as `score_paths` does."""
    from maescan.scoring.watch import stopped_by_signals, watch_folder

    with (
        opened(bundle, engine, options) as (loaded, started),
        stopped_by_signals() as stop,
        _shown("quiet" if show == "progress" else show) as shown,
        passed_on(_line if show == "progress" else shown, alerts) as event,
    ):
        return watch_folder(inbox, loaded, started, out, options, event, timing=timing, stop=stop)


def _json(name: str, facts: dict[str, object]) -> None:
    """An event as a line, in one write."""
    sys.stdout.write(json.dumps({"event": name, **facts}, sort_keys=True) + "\n")
    sys.stdout.flush()


def _line(name: str, facts: dict[str, Any]) -> None:
    """An event for people."""
    if name == "watching":
        print(f"{facts['time']} watching {facts['inbox']}", flush=True)
    if name == "scored":
        print(
            f"{facts['time']} {facts['scan']}: {_verdict(facts)}, {facts['latency_s']:.1f} s after arriving",
            flush=True,
        )
    if name == "failed":
        print(f"{facts['time']} {facts['scan']}: {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
    if name == "passed_over":
        print(f"{facts['time']} {facts['scan']}: passed over, it {facts['reason']}", flush=True)
    if name in ("changed", "unusual"):
        print(f"{facts['time']} {facts['reason']}", file=sys.stderr, flush=True)


def _verdict(facts: dict[str, object]) -> str:
    parts = [f"score {facts['score']:.6f}"]
    if facts["p_value"] is not None:
        parts.append(f"p {facts['p_value']:.4f}")
    if facts["fit"] != "ok":
        parts.append(str(facts["fit"]))
    return ", ".join(parts) + (" ALERT" if facts["alert"] == "yes" else "")
