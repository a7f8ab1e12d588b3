"""What changes the time: folder size (linear, memory flat), threads, tokens a slice, passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maescan.benchmark import folder
from maescan.benchmark.engines import apart, summary, timed
from maescan.config import Preset

FOLDERS = 10, 50, 200
SHAPE = 64, 64, 8


def folders(bundle: Path, preset: Preset, at: Path, counts: tuple[int, ...], **options: Any) -> list[dict[str, Any]]:
    """Folders of `counts` small scans, each in a process of its own: seconds, scans an hour, peak memory."""
    rows = []
    for count in counts:
        scans = folder.write_scans(at / f"{count}", count, SHAPE, preset)
        rows.append(apart(_folder, scans, bundle, at / f"out-{count}", **options))
    return rows


def _folder(scans: Path, bundle: Path, out: Path, **options: Any) -> dict[str, Any]:
    found = folder.measure(scans, bundle, out, **options)
    return {name: found[name] for name in ("scans", "slices", "seconds", "scans_per_hour", "peak_memory")}


def threads(bundle: Path, images: Any, counts: list[int], seconds: float, **options: Any) -> list[dict[str, Any]]:
    """Slices a second on 1, 2, 4, ... threads."""
    from maescan import engines
    from maescan.engines.bundle import Bundle
    from maescan.method.score import score_slices

    loaded, rows = Bundle.load(bundle), []
    for count in counts:
        engine = engines.load(loaded, threads=count, **options)
        batch, ids = _some(images, engine.batch)
        taken = timed(lambda g=batch, i=ids, e=engine: score_slices(g, i, e, loaded.preset), seconds)  # type: ignore[misc]
        rows.append({"threads": count, **summary(taken, len(batch))})
        engine.close()
    return rows


def sizes(bundle: Path, images: Any, seconds: float, **options: Any) -> list[dict[str, Any]]:
    """Slices a second with 1, 2, 4, 8 passes, and with the patches of a quarter, half or all of a slice. An image of
    half the side has a quarter of the patches, and to the models a slice is its patches."""
    from maescan import engines
    from maescan.benchmark import cost
    from maescan.engines.bundle import Bundle
    from maescan.method.score import score_slices

    loaded = Bundle.load(bundle)
    engine, rows = engines.load(loaded, **options), []
    grid = loaded.preset.replace(tokens__method="all")
    batch, ids = _some(images, engine.batch)
    for passes in (1, 2, 4, 8):
        preset = grid.replace(masks__passes=passes)
        if preset.masks.strategy == "complementary":
            break
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


def _models(engine: Any, preset: Preset, batch: int, tokens: int) -> None:
    """Both models on `batch` slices of `tokens` tokens, with nothing around them."""
    passes, keep = preset.masks.passes, preset.masks.visible(tokens)
    ids = np.tile(np.arange(tokens, dtype=np.int32), (batch * passes, 1))
    pixels = np.zeros((batch * passes, tokens, preset.model.patch_pixels), np.float32)
    engine.reconstruct(pixels[:, :keep], ids, ids[:, :keep], ids)
    if preset.measure == "classifier":
        engine.classify(pixels[:batch], ids[:batch])


def _some(images: Any, batch: int) -> tuple[Any, Any]:
    return np.resize(images, (batch, *images.shape[1:])), np.arange(batch)
