"""Pictures of the worst slices: image, reconstruction, difference and overlay, side by side, as PNG."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan import files as outputs
from maescan.config import Preset
from maescan.method import score as steps
from maescan.method.preprocess import upright
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables

PANEL = 224
"""Least width of a panel in pixels; smaller slices are enlarged by whole numbers."""


def worst(tables: Tables, count: int) -> list[tuple[ScanRow, int]]:
    """The `count` scans that score highest, each with its worst slice."""
    ranked = sorted(tables.rows, key=lambda row: (-tables.scan_score(row), row.label))
    return [(row, int(np.argmax(row.scores))) for row in ranked[:count]]


def picture_key(job: str, row: ScanRow) -> str:
    """What a picture is of; one with the same key need not be drawn again."""
    return hashlib.sha256(job.encode() + row.label.encode() + row.scores.tobytes()).hexdigest()[:16]


def draw(path: Path, image: NDArray[np.float32], mask_key: int, engine: Any, preset: Preset, key: str) -> None:
    """Draws a slice of a scan, image [H, W], with the masks of its key, into `path`."""
    found = steps.score_slices(image[None], np.array([mask_key]), engine, preset, maps=True)
    assert found.reconstruction is not None and found.difference is not None
    parts = (image, found.reconstruction[0], found.difference[0])
    _save(path, panels(*(upright(part, preset) for part in parts)), key)


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


def key_of(path: Path) -> str | None:
    """The key of a picture; None where there is none."""
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
