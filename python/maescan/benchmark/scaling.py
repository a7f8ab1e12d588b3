"""What changes the time: folder size (linear, memory flat), threads, tokens per slice, passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maescan.benchmark import folder
from maescan.benchmark.engines import apart, loaded, summary, timed
from maescan.config import Preset
from maescan.config.types import Json
from maescan.engines.bundle import Bundle
from maescan.method.engine import Engine, Floats
from maescan.options import EngineOptions

FOLDERS = 10, 50, 200
SHAPE = 64, 64, 8


def folders(bundle: Path, at: Path, counts: tuple[int, ...], engine: EngineOptions, workers: int) -> list[Json]:
    """Folders of `counts` small scans, each in a process of its own: seconds, scans per hour, peak memory."""
    rows = []
    for count in counts:
        scans = folder.write_scans(at / f"{count}", count, SHAPE, Bundle.load(bundle).preset)
        rows.append(apart(_folder, scans, bundle, at / f"out-{count}", engine, workers))
    return rows


def _folder(scans: Path, bundle: Path, out: Path, engine: EngineOptions, workers: int) -> Json:
    found = folder.measure(scans, bundle, out, engine, workers)
    return {name: found[name] for name in ("scans", "slices", "seconds", "scans_per_hour", "peak_memory")}


def threads(bundle: Path, images: Floats, counts: list[int], seconds: float, engine: EngineOptions) -> list[Json]:
    """Slices per second on 1, 2, 4, ... threads."""
    from maescan.method.score import score_slices

    rows = []
    for count in counts:
        opened, running = loaded(bundle, replace(engine, threads=count))
        batch, ids = _some(images, running.batch)
        taken = timed(lambda g=batch, i=ids, e=running, b=opened: score_slices(g, i, e, b.preset), seconds)  # type: ignore[misc]
        rows.append({"threads": count, **summary(taken, len(batch))})
        running.close()
    return rows


def sizes(bundle: Path, images: Floats, seconds: float, asked: EngineOptions) -> list[Json]:
    """Slices per second with 1, 2, 4, 8 passes, with the patches of a quarter, half or all of a slice. An image of
    half the side has a quarter of the patches, and a slice, to the models, is its patches."""
    from maescan.benchmark import cost
    from maescan.method.score import score_slices

    (opened, engine), rows = loaded(bundle, asked), []
    grid = opened.preset.replace(tokens__method="all")
    batch, ids = _some(images, engine.batch)
    for passes in () if grid.masks.strategy == "complementary" else (1, 2, 4, 8):
        preset = grid.replace(masks__passes=passes)
        taken = timed(lambda p=preset: score_slices(batch, ids, engine, p), seconds)  # type: ignore[misc]
        row = {"passes": passes, "tokens": grid.model.tokens, "operations": cost.engine_operations(preset)}
        rows.append({**row, **summary(taken, len(batch))})
    for share in (4, 2, 1):
        tokens = grid.model.tokens // share
        taken = timed(lambda t=tokens: _models(engine, grid, len(batch), t), seconds)  # type: ignore[misc]
        row = {"passes": grid.masks.passes, "tokens": tokens, "operations": cost.engine_operations(grid, tokens)}
        rows.append({**row, "models_only": True, **summary(taken, len(batch))})
    engine.close()
    return rows


def _models(engine: Engine, preset: Preset, batch: int, tokens: int) -> None:
    """Both models on `batch` slices of `tokens` tokens, with nothing around them."""
    passes, keep = preset.masks.passes, preset.masks.visible(tokens)
    ids = np.tile(np.arange(tokens, dtype=np.int32), (batch * passes, 1))
    pixels = np.zeros((batch * passes, tokens, preset.model.patch_pixels), np.float32)
    engine.reconstruct(pixels[:, :keep], ids, ids[:, :keep], ids)
    if preset.measure == "classifier":
        engine.classify(pixels[:batch], ids[:batch])


def _some(images: Floats, batch: int) -> tuple[Any, Any]:
    return np.resize(images, (batch, *images.shape[1:])), np.arange(batch)
