"""Artificial anomalies put into slices before they are masked, for a judge to learn from. The pseudo-abnormal module
of section 3.3 alters the MAE's output; here the MAE sees the anomaly, as it will see a lesion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maescan.config import Preset
from maescan.method import draws
from maescan.method.tokens import tissue_of, value_range

Slice = NDArray[np.float32]
Mask = NDArray[np.bool_]

SHARES = (0.005, 0.2)  # of the tissue that an anomaly covers, even over the logarithm
MORE = 0.5  # chance of each further anomaly, up to three


@dataclass(frozen=True, eq=False)
class Place:
    """A slice [H, W] with its tissue, and `soft` [H, W], 0 to 1, where the anomaly goes; `other`: a slice whose
    tissue can be transplanted."""

    image: Slice
    tissue: Mask
    soft: Slice
    other: Slice
    rng: np.random.Generator

    @property
    def floor(self) -> float:
        """The value of air."""
        return float(self.image.min())

    @property
    def radius(self) -> float:
        """In pixels, of a disc as large."""
        return max(1.5, float(np.sqrt(self.soft.sum() / np.pi)))


def _contrast(place: Place) -> Slice:
    """Brighter or darker by a factor, as likely the one as the other."""
    factor = np.exp(place.rng.choice([-1, 1]) * place.rng.uniform(0.12, 0.9))
    return np.asarray(place.floor + (place.image - place.floor) * factor, np.float32)


def _offset(place: Place) -> Slice:
    """Brighter or darker by a step; dim tissue too."""
    spread = float(place.image[place.tissue].std())
    return place.image + np.float32(place.rng.choice([-1, 1]) * place.rng.uniform(0.3, 1.5) * spread)


def _foreign(place: Place) -> Slice:
    """Tissue of another slice, turned about."""
    turned = np.rot90(place.other, int(place.rng.integers(4)))
    shift = place.rng.integers(-place.image.shape[0] // 4, place.image.shape[0] // 4 + 1, size=2)
    moved = np.roll(turned, tuple(int(n) for n in shift), (0, 1))
    mean = place.image[place.tissue].mean()
    return np.where(moved > place.other.min(), moved, mean).astype(np.float32)


def _texture(place: Place) -> Slice:
    """A grain of its own on a level near the tissue's."""
    inside = float((place.image * place.soft).sum() / max(float(place.soft.sum()), 1e-6))
    spread = float(place.image[place.tissue].std())
    level = inside + spread * place.rng.normal(0, 0.4)
    grain = field(place.image.shape[0], place.rng.uniform(0.4, 2.5), place.rng)
    return np.asarray(level + grain * spread * place.rng.uniform(0.02, 0.6), np.float32)


def _blur(place: Place) -> Slice:
    return smooth(place.image, place.rng.uniform(0.7, max(1.0, 0.35 * place.radius)))


def _deform(place: Place) -> Slice:
    """Tissue displaced by a smooth random field, up to about a radius."""
    size = place.image.shape[0]
    reach = place.radius * place.rng.uniform(0.3, 0.8)
    shifts = [reach * field(size, max(1.0, 0.5 * place.radius), place.rng) for _ in range(2)]
    at = np.arange(size, dtype=np.float32)
    rows = np.clip(np.rint(at[:, None] + shifts[0]), 0, size - 1).astype(int)
    cols = np.clip(np.rint(at[None] + shifts[1]), 0, size - 1).astype(int)
    return smooth(place.image[rows, cols], 0.5)


KINDS: dict[str, Callable[[Place], Slice]] = {
    "contrast": _contrast,
    "offset": _offset,
    "foreign": _foreign,
    "texture": _texture,
    "blur": _blur,
    "deform": _deform,
}


def put_anomalies(images: Slice, ids: ArrayLike, preset: Preset, *, seed: int, epoch: int) -> tuple[Slice, Slice]:
    """Slices [B, H, W] with one to three anomalies each, and where [B, H, W], 0 to 1; values stay within what the
    preset's intensities reach. A draw depends on (seed, id, epoch) alone, but for foreign tissue, which is the next
    slice's. A slice without tissue stays as it is."""
    made, where, tissue = images.copy(), np.zeros_like(images), tissue_of(images, preset)
    for i, number in enumerate(np.asarray(ids).tolist()):
        if not tissue[i].any():
            continue
        rng = np.random.default_rng([seed, epoch, draws.ANOMALIES, int(number)])
        for _ in range(1 + int((rng.random(2) < MORE).cumprod().sum())):
            soft = blob(tissue[i], _radius(tissue[i], rng), rng)
            kind = list(KINDS.values())[int(rng.integers(len(KINDS)))]
            changed = kind(Place(made[i], tissue[i], soft, images[(i + 1) % len(images)], rng))
            low, high = value_range(preset) or (float(images[i].min()), float(images[i].max()))
            made[i] += soft * (np.clip(changed, low, high) - made[i])
            where[i] = np.maximum(where[i], soft)
    return made, where


def _radius(tissue: Mask, rng: np.random.Generator) -> float:
    share = np.exp(rng.uniform(*np.log(SHARES)))
    return max(1.5, float(np.sqrt(share * tissue.sum() / np.pi)))


def blob(tissue: Mask, radius: float, rng: np.random.Generator) -> Slice:
    """An irregular spot in tissue [H, W], 1 inside and falling to 0 over a soft edge."""
    spots = np.argwhere(tissue)
    row, col = spots[int(rng.integers(len(spots)))]
    rows, cols = (np.arange(n, dtype=np.float32) - at for n, at in zip(tissue.shape, (row, col), strict=True))
    distance = np.hypot(rows[:, None], cols[None] * np.float32(rng.uniform(0.7, 1.4))) / radius
    level = 1 - distance + 0.3 * field(tissue.shape[0], max(1.0, 0.5 * radius), rng)
    soft = np.clip(level / rng.uniform(0.1, 0.6) + 0.5, 0, 1) * tissue
    return np.asarray(soft, np.float32)


def field(size: int, sigma: float, rng: np.random.Generator) -> Slice:
    """Smooth noise [size, size] of deviation 1."""
    noise = smooth(rng.standard_normal((size, size), np.float32), sigma)
    return noise / (noise.std() or np.float32(1))


def smooth(image: Slice, sigma: float) -> Slice:
    """A Gaussian blur of [H, W] by two products with a band matrix; beyond the edge its values repeat."""
    rows, cols = (_band(n, sigma) for n in image.shape)
    return np.asarray(rows @ image @ cols.T, np.float32)


def _band(count: int, sigma: float) -> NDArray[np.float32]:
    reach = int(np.ceil(3 * sigma))
    shifts = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (shifts / sigma) ** 2)
    at = np.arange(count)[:, None]
    band = np.zeros((count, count), np.float32)
    np.add.at(band, (at, np.clip(at + shifts, 0, count - 1)), (weights / weights.sum()).astype(np.float32))
    return band
