"""`maescan score` and `watch`: load the bundle's engine, prove it, and run the pipeline. Events say what happens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from maescan.engines.bundle import Bundle
from maescan.scoring.job import Event
from maescan.scoring.options import EngineOptions, ScoreOptions
from maescan.scoring.pipeline import score_folder
from maescan.scoring.summary import Summary
from maescan.scoring.watch import Inbox, stopped_by_signals, watch_folder


def unheard(name: str, facts: Mapping[str, object]) -> None:
    """Events of a run that nobody listens to."""


def score_paths(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
    listen: Event = unheard,
) -> Summary:
    """Scores scans with a bundle's engine.

    Raises DataError (no scans, output cannot be written), BundleError (damaged, drifts), EngineError (cannot run),
    ConfigError (a bundle of CT patches without regions, or regions of anything else).
    """
    with opened(bundle, engine, options) as (loaded, started):
        _tell_device(engine, started, listen)
        return score_folder(paths, loaded, started, out, options, listen)


def watch_inbox(
    inbox: Inbox,
    bundle: Path,
    out: Path,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
    listen: Event = unheard,
) -> Summary:
    """Scores scans as they arrive, until SIGTERM or SIGINT. Raises as `score_paths` does."""
    with opened(bundle, engine, options) as (loaded, started), stopped_by_signals() as stop:
        _tell_device(engine, started, listen)
        return watch_folder(replace(inbox, stop=stop), loaded, started, out, options, listen)


@contextlib.contextmanager
def opened(bundle: Path, engine: EngineOptions, options: ScoreOptions) -> Iterator[tuple[Bundle, Any]]:
    """A bundle and its proven engine, which is closed at the end; what cannot be scored so is refused first."""
    from maescan import engines, kernels
    from maescan.method import regions
    from maescan.scans.worker import get_ready

    get_ready()  # while the engine is loaded
    kernels.set_threads(engine.threads)
    loaded = Bundle.load(bundle)
    regions.check(loaded.preset, options.read.regions)
    if not options.healthy:
        regions.check_reference(loaded.manifest, options.read.regions)
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


def _tell_device(asked: EngineOptions, started: _Started, listen: Event) -> None:
    """What was taken where the choice was ours."""
    if asked.device in ("auto", "gpu"):
        listen("device", {"asked": asked.device, "took": started.device_name, "engine": started.name})
