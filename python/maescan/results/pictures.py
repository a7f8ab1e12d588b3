"""Pictures of the worst slices: image, reconstruction, difference and overlay, side by side, as PNG."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan import files as outputs
from maescan.errors import MaescanError
from maescan.method import score as steps
from maescan.method.preprocess import upright
from maescan.options import ReadOptions
from maescan.results.paths import picture_path
from maescan.scoring.readers import Reader

PANEL = 224
"""Least width of a panel in pixels; smaller slices are enlarged by whole numbers."""


def draw_worst(
    out: Path,
    results: Sequence[tuple[str, NDArray[np.float32], Any, Mapping[str, Any]]],
    sources: Mapping[str, Any],
    bundle: Any,
    engine: Any,
    read: ReadOptions,
    *,
    job: str,
    count: int,
) -> None:
    """Draws the worst slice of the `count` scans that score highest into `out`/pictures, and removes other pictures.

    results: of `ledger.results`; a picture of the same job and scores is kept. A scan that cannot be read a second
    time has no picture."""
    chosen = sorted(results, key=lambda row: (-row[3]["score"], row[0]))[:count]
    paths = {picture_path(out, name) for name, *_ in chosen}
    for old in (out / "pictures").rglob("*.png"):
        if old not in paths:
            old.unlink()
    reader: Reader | None = None
    for name, scores, _, result in chosen:
        key = hashlib.sha256(job.encode() + name.encode() + scores.tobytes()).hexdigest()[:16]
        path, worst = picture_path(out, name), result["worst_slice"]
        if name not in sources or _key_of(path) == key:
            continue
        reader = reader or Reader(bundle.preset, read)
        try:
            images = reader.read(sources[name]).images
        except MaescanError:
            continue
        found = steps.score_slices(images[worst : worst + 1], np.array([worst]), engine, bundle.preset, maps=True)
        assert found.reconstruction is not None and found.difference is not None
        parts = (images[worst], found.reconstruction[0], found.difference[0])
        _save(path, panels(*(upright(part, bundle.preset) for part in parts)), key)
    if reader is not None:
        reader.close()


def panels(image: NDArray[Any], reconstruction: NDArray[Any], difference: NDArray[Any]) -> NDArray[np.uint8]:
    """Slice, reconstruction and difference [H, W] -> [H k, 4 W k, 3]; the difference is red in the overlay, fully so
    from half of the slice's range."""
    low, high = float(image.min()), float(image.max())
    span = max(high - low, 1e-6)
    grey, made = (np.clip((part - low) / span, 0, 1) for part in (image, reconstruction))
    changed = np.clip(2 * difference / span, 0, 1)
    overlay = np.stack([np.maximum(grey, changed), grey * (1 - changed), grey * (1 - changed)], axis=-1)
    row = np.concatenate(
        [*(np.repeat(part[..., None], 3, axis=-1) for part in (grey, made, changed)), overlay], axis=1
    )
    factor = max(1, round(PANEL / image.shape[1]))
    return np.repeat(np.repeat((255 * row + 0.5).astype(np.uint8), factor, axis=0), factor, axis=1)


def _key_of(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return str(picture.info.get("maescan"))
    except OSError:
        return None


def _save(path: Path, pixels: NDArray[np.uint8], key: str) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("maescan", key)
    with outputs.whole_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", optimize=True, pnginfo=note)
