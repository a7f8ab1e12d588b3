"""Pictures of a scan's highest slices: one PNG, a column per slice; slice, reconstruction and map below each other.

In shades of grey: which map value has which colour the report says, so that calibrating makes no picture old.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan import files as outputs
from maescan.config import Preset
from maescan.method.engine import Engine
from maescan.method.heat import full_scale, levels, mapped_slices
from maescan.method.preprocess import upright
from maescan.results.rows import ScanRow
from maescan.results.tables import Tables

Floats = NDArray[np.float32]
STRIP = 5
"""Slices of a scan that are drawn."""
PANEL = 224
"""Least width of a panel of `panels` in pixels; smaller slices are enlarged by whole numbers."""
WINDOW = (-10.0, 4.0)
"""Hundredths of HU from black to white."""
COLOURS = (
    (0.0, (200, 20, 20, 0)),
    (0.25, (200, 20, 20, 30)),
    (0.5, (225, 30, 20, 170)),
    (0.75, (255, 145, 0, 225)),
    (1.0, (255, 250, 120, 255)),
)
"""Red, green, blue and opacity of the heat by `Scale.shares`: over a slice, or over black."""


def wanted(tables: Tables, count: int) -> list[ScanRow]:
    """The scans that are drawn: every alert, and the `count` that score highest; none where `count` is 0."""
    ranked = sorted(tables.rows, key=lambda row: (-tables.scan_score(row), row.label))
    return [row for i, row in enumerate(ranked) if i < count or (count and tables.alerts(row))]


def peaks(scores: NDArray[np.float32], count: int = STRIP) -> list[int]:
    """The highest slices in descending order, at least a fortieth of the scan apart."""
    apart, chosen = max(1, round(len(scores) / 40)), list[int]()
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
        if len(chosen) == count:
            break
    return chosen


def picture_key(job: str, row: ScanRow) -> str:
    """What a picture is of; one with the same key need not be drawn again."""
    text = f"strip {job}".encode() + row.label.encode("utf-8", "surrogatepass") + row.scores.tobytes()
    return hashlib.sha256(text).hexdigest()[:16]


def draw(images: NDArray[np.float32], keys: Sequence[int], engine: Engine, preset: Preset) -> NDArray[np.uint8]:
    """Slices [K, H, W], `keys` of their masks, as a picture's pixels [3 H, K W]."""
    made, heat = np.empty_like(images), np.empty_like(images)
    for start in range(0, len(images), engine.batch):
        part = slice(start, start + engine.batch)
        ids = np.array(keys[part], np.uint64)
        found = mapped_slices(images[part], ids, engine, preset)
        assert found.reconstruction is not None and found.difference is not None
        made[part], heat[part] = found.reconstruction, found.difference
    return strip(upright(images, preset), upright(made, preset), upright(heat, preset), preset)


def strip(images: Floats, reconstructions: Floats, heat: Floats, preset: Preset) -> NDArray[np.uint8]:
    """Three times [K, H, W] -> [3 H, K W]. Black is the lowest pixel of all, white nearly the highest."""
    low, high = WINDOW
    if preset.intensity.method != "hu":
        low, high = float(images.min()), float(np.percentile(images, 99.8))
    span = max(high - low, 1e-6)
    rows = [
        *((255 * np.clip((part - low) / span, 0, 1) + 0.5).astype(np.uint8) for part in (images, reconstructions)),
        levels(heat, full_scale(preset)),
    ]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def colours(shares: ArrayLike) -> NDArray[np.uint8]:
    """The colour and opacity [..., 4] of map values, given as `Scale.shares`."""
    at, rgba = [share for share, _ in COLOURS], np.array([colour for _, colour in COLOURS])
    channels = [np.interp(np.asarray(shares, float), at, rgba[:, channel]) for channel in range(4)]
    return np.asarray(np.stack(channels, axis=-1) + 0.5, np.uint8)


def panels(image: Floats, reconstruction: Floats, shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Slice, reconstruction, map and overlay of a slice: three times [H, W] -> [H k, 4 W k, 3]. shares: the map's, as
    of `Scale`."""
    low, high = float(image.min()), float(image.max())
    span = max(high - low, 1e-6)
    grey, made = (
        np.repeat((255 * np.clip((part - low) / span, 0, 1) + 0.5).astype(np.uint8)[..., None], 3, axis=-1)
        for part in (image, reconstruction)
    )
    colour, opacity = np.split(colours(shares).astype(np.uint16), [3], axis=-1)
    heat, overlay = (((255 - opacity) * under + opacity * colour) // 255 for under in (np.uint16(0), grey))
    row = np.concatenate([grey, made, heat.astype(np.uint8), overlay.astype(np.uint8)], axis=1)
    factor = max(1, round(PANEL / image.shape[1]))
    return np.repeat(np.repeat(row, factor, axis=0), factor, axis=1)


def key_of(path: Path) -> str | None:
    """The key of a picture; None where there is none."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return str(picture.info.get("maescan"))
    except OSError:
        return None


def save(path: Path, pixels: NDArray[np.uint8], key: str) -> None:
    """Writes a picture with its key."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("maescan", key)
    with outputs.atomic_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", optimize=True, pnginfo=note)
