"""Which lesions are found: sensitivity by size and by contrast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.method.tokens import not_air

Floats = NDArray[np.float64]
SIZES = (0.005, 0.02, 0.05, 0.1)
CONTRASTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)


def lesion_share(images: NDArray[np.floating], masks: ArrayLike) -> Floats:
    """Lesion pixels over foreground pixels [B] of slices [B, H, W]; 0 without a lesion."""
    mask = np.asarray(masks, bool)
    brain = (not_air(images) | mask).sum(axis=(1, 2))
    return mask.sum(axis=(1, 2)) / np.maximum(brain, 1)


def lesion_contrast(images: NDArray[np.floating], masks: ArrayLike) -> Floats:
    """(mean in the lesion - mean of the other foreground) / standard deviation of the other foreground [B]: 1 is a
    lesion brighter by one standard deviation. nan without a lesion, or without foreground that varies beside it."""
    mask = np.asarray(masks, bool)
    image, rest = np.asarray(images, np.float64), not_air(images) & ~mask
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (image * mask).sum(axis=(1, 2)) / mask.sum(axis=(1, 2))
        count = rest.sum(axis=(1, 2))
        mean = (image * rest).sum(axis=(1, 2)) / count
        spread = np.sqrt((((image - mean[:, None, None]) * rest) ** 2).sum(axis=(1, 2)) / count)
        return np.where(spread > 0, (inside - mean) / spread, np.nan)


def by_bin(values: ArrayLike, detected: ArrayLike, edges: Sequence[float], unit: str = "") -> list[dict[str, object]]:
    """Share `found` [N] in each part of `values` [N] that `edges` cut (each from its lower edge to under its upper):
    [{"bin", "slices", "sensitivity"}], sensitivity None for an empty part. nan values are left out."""
    value, hit = np.asarray(values, np.float64), np.asarray(detected, np.float64)
    bins = np.where(np.isnan(value), -1, np.searchsorted(edges, value, side="right"))
    rows: list[dict[str, object]] = []
    for number in range(len(edges) + 1):
        here = bins == number
        share = float(hit[here].mean()) if here.any() else None
        rows.append({"bin": _name(edges, number, unit), "slices": int(here.sum()), "sensitivity": share})
    return rows


def _name(edges: Sequence[float], number: int, unit: str) -> str:
    shown = [f"{edge * (100 if unit == '%' else 1):g}" for edge in edges]
    unit = f" {unit}" if unit else ""
    if number == 0:
        return f"under {shown[0]}{unit}"
    return f"{shown[-1]}{unit} and over" if number == len(edges) else f"{shown[number - 1]} to {shown[number]}{unit}"
