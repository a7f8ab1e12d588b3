"""`maescan score`: loads the bundle's engine and runs the pipeline with a progress bar or JSON events."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from maescan import progress
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
        _shown(show) as shown,
        opened(bundle, engine, options) as (loaded, started),
        passed_on(shown, alerts) as event,
    ):
        _tell_device(engine, started, event)
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


class _Started(Protocol):
    name: str
    device_name: str


def _tell_device(asked: EngineOptions, started: _Started, event: Event) -> None:
    """What was taken where the choice was ours."""
    if asked.device in ("auto", "gpu"):
        event("device", {"asked": asked.device, "took": started.device_name, "engine": started.name})


@contextlib.contextmanager
def _shown(show: Show) -> Iterator[Event]:
    if show == "quiet":
        yield _counted(progress.tell)  # for whoever shows progress of what this is part of
    elif show == "json":
        yield _json
    else:
        with progress.shown("score", unit="scans") as update:
            yield _counted(update, tell_device=True)


def _counted(update: progress.Update, tell_device: bool = False) -> Event:
    """Events that move a bar."""
    done, slices, failed, total, start = 0, 0, 0, None, time.monotonic()

    def event(name: str, facts: dict[str, Any]) -> None:
        nonlocal done, slices, failed, total
        if name == "device" and tell_device:
            _line(name, facts)
        if name == "found":
            total = int(facts["scans"])
        elif name in ("scored", "failed", "skipped", "passed_over"):
            done, slices, failed = done + 1, slices + int(facts.get("slices", 0)), failed + (name == "failed")
        else:
            return
        update(done, total, f"{slices / (time.monotonic() - start + 1e-9):.0f} slices/s, {failed} failed")

    return event


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
        _tell_device(engine, started, event)
        return watch_folder(inbox, loaded, started, out, options, event, timing=timing, stop=stop)


def _json(name: str, facts: dict[str, object]) -> None:
    """An event as a line, in one write."""
    progress.say(json.dumps({"event": name, **facts}, sort_keys=True))


def _line(name: str, facts: dict[str, Any]) -> None:
    """An event for people."""
    if name == "device":
        print(f"--device {facts['asked']}: {facts['engine']} on {facts['took']}", file=sys.stderr, flush=True)
    if name == "watching":
        progress.say(f"{facts['time']} watching {facts['inbox']}")
    if name == "scored":
        arrived = f"{facts['latency_s']:.1f} s after arriving"
        progress.say(f"{facts['time']} {facts['scan']}: {_verdict(facts)}, {arrived}")
    if name == "failed":
        print(f"{facts['time']} {facts['scan']}: {facts['reason']} ({facts['remedy']})", file=sys.stderr, flush=True)
    if name == "passed_over":
        progress.say(f"{facts['time']} {facts['scan']}: passed over, it {facts['reason']}")
    if name in ("changed", "unusual"):
        print(f"{facts['time']} {facts['reason']}", file=sys.stderr, flush=True)


def _verdict(facts: dict[str, object]) -> str:
    parts = [f"score {facts['score']:.6f}"]
    if facts["p_value"] is not None:
        parts.append(f"p {facts['p_value']:.4f}")
    if facts["fit"] != "ok":
        parts.append(str(facts["fit"]))
    return ", ".join(parts) + (" ALERT" if facts["alert"] == "yes" else "")
