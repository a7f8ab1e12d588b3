"""`maescan score`: loads the bundle's engine and runs the pipeline with a progress bar or JSON events."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from maescan.method import regions
from maescan.scoring.pipeline import Event, Options, Summary, score_folder

Show = Literal["progress", "json", "quiet"]


def score_paths(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    *,
    device: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
    show: Show = "quiet",
    **options: Any,
) -> Summary:
    """Scores scans with a bundle's engine. `options` are those of `pipeline.Options`.

    Raises DataError (no scans, output cannot be written), BundleError (damaged, drifts), EngineError (cannot run).
    """
    from maescan import engines, kernels
    from maescan.engines.bundle import Bundle

    kernels.set_threads(threads)
    loaded = Bundle.load(bundle)
    regions.check(loaded.preset, "regions" in options.get("read", {}))
    engine = engines.load(loaded, device=device, precision=precision, threads=threads)
    try:
        with _shown(show) as event:
            return score_folder(paths, loaded, engine, out, Options(**options), event)
    finally:
        engine.close()


@contextlib.contextmanager
def _shown(show: Show) -> Iterator[Event]:
    if show == "quiet" or (show == "progress" and not sys.stderr.isatty()):
        yield lambda name, facts: None
        return
    if show == "json":
        yield lambda name, facts: print(json.dumps({"event": name, **facts}, sort_keys=True), flush=True)
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
            state["slices"] += int(facts.get("slices", 0))
            state["failed"] += name == "failed"
            elapsed = progress.tasks[0].elapsed or 1e-9
            progress.update(task, advance=1, speed=state["slices"] / elapsed, failed=state["failed"])

        yield event


def watch_inbox(
    inbox: Path,
    bundle: Path,
    out: Path,
    *,
    device: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
    settle: float = 5.0,
    show: Show = "progress",
    **options: Any,
) -> Summary:
    """Scores scans as they arrive in `inbox`, until SIGTERM or SIGINT. `options` are those of `pipeline.Options`.

    Raises as `score_paths` does."""
    from maescan import engines
    from maescan.engines.bundle import Bundle
    from maescan.scoring.watch import stopped_by_signals, watch_folder

    loaded = Bundle.load(bundle)
    engine = engines.load(loaded, device=device, precision=precision, threads=threads)
    try:
        with stopped_by_signals() as stop, _shown("quiet" if show == "progress" else show) as event:
            event = _line if show == "progress" else event
            return watch_folder(inbox, loaded, engine, out, Options(**options), event, settle=settle, stop=stop)
    finally:
        engine.close()


def _line(name: str, facts: dict[str, Any]) -> None:
    """An event for people."""
    if name == "watching":
        print(f"watching {facts['inbox']}", flush=True)
    if name == "scored":
        print(f"{facts['scan']}: score {facts['score']:.6f}, {facts['latency_s']:.1f} s after arriving", flush=True)
    if name == "failed":
        print(f"{facts['scan']}: {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
