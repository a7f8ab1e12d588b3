"""Lesions and artefacts put into healthy slices, drawn unlike the phantom's, so that a model that was taught those is
not flattered."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Slice = NDArray[np.float32]
Mask = NDArray[np.bool_]

SHARES = (0.005, 0.1)  # of the slice's tissue that a lesion covers, spread evenly over the logarithm
INSIDE = 0.9  # of a lesion's disc that lies in tissue, where a slice has such a place


@dataclass(frozen=True, eq=False)
class Insertion:
    """A slice [H, W] with something put into it, and where: `mask` [H, W] is its outline at half height, none for an
    artefact, which is everywhere."""

    image: Slice
    mask: Mask | None


@dataclass(frozen=True, eq=False)
class Spot:
    """A healthy slice [H, W] whose air is `floor`, where its tissue is, and a place for a lesion: offsets `rows` and
    `cols` from its centre, distance [H, W] from there in units of its irregular radius, its profile `soft` [H, W]
    from 0 to 1. `donor` is another slice, moved so that tissue of it lies at the place."""

    image: Slice
    floor: float
    tissue: Mask
    rows: Slice
    cols: Slice
    distance: Slice
    soft: Slice
    radius: float
    donor: Slice
    rng: np.random.Generator


def _blend(spot: Spot, other: Slice) -> Slice:
    return spot.image + spot.soft * (other - spot.image)


def _scaled(low: float, high: float) -> Callable[[Spot], Slice]:
    return lambda spot: _blend(spot, spot.floor + (spot.image - spot.floor) * np.float32(spot.rng.uniform(low, high)))


def _foreign(spot: Spot) -> Slice:
    return _blend(spot, spot.donor)


def _flat(spot: Spot) -> Slice:
    return _blend(spot, np.full_like(spot.image, spot.image[spot.soft > 0.5].mean()))


def _blurred(spot: Spot) -> Slice:
    return _blend(spot, blur(spot.image, spot.radius * spot.rng.uniform(0.2, 0.5)))


def _deformed(spot: Spot) -> Slice:
    """A source or a sink: tissue flows away from the centre or towards it, and stays where the lesion ends."""
    pull = spot.rng.choice([-0.9, 0.6]) * spot.rng.uniform(0.7, 1.0)
    return _moved(spot, pull * np.clip(1 - spot.distance**2, 0, None) ** 2)


def _mass_effect(spot: Spot) -> Slice:
    """A core that looks like the tissue around it in the mean, and tissue pushed away from it beyond its outline."""
    pushed = _moved(spot, 0.5 * np.exp(-(spot.distance**2) / 2))
    core = np.clip((0.7 - spot.distance) / 0.15 + 0.5, 0, 1)
    return np.asarray(pushed + core * (spot.image[spot.soft > 0.5].mean() - pushed), np.float32)


def _missing(spot: Spot) -> Slice:
    """A cavity: as dark as the slice's darkest tissue."""
    return _blend(spot, np.full_like(spot.image, np.quantile(spot.image[spot.tissue], 0.02)))


def _noise(spot: Spot) -> Slice:
    spread = spot.image[spot.tissue].std() * spot.rng.uniform(0.1, 0.5)
    return spot.image + np.where(spot.tissue, spot.rng.normal(0, spread, spot.image.shape), 0).astype(np.float32)


def _ghosting(spot: Spot) -> Slice:
    """Copies of the slice along one axis, as a patient who moves leaves them."""
    copies, share = int(spot.rng.integers(2, 5)), spot.rng.uniform(0.05, 0.3)
    axis = int(spot.rng.integers(2))
    shift = max(1, spot.image.shape[axis] // copies)
    ghosts = sum(np.roll(spot.image - spot.floor, shift * copy, axis) for copy in range(1, copies))
    return np.asarray(spot.image + share / copies * ghosts, np.float32)


LESIONS: dict[str, Callable[[Spot], Slice]] = {
    "brighter": _scaled(1.2, 2.0),
    "darker": _scaled(0.3, 0.8),
    "foreign tissue": _foreign,
    "flat": _flat,
    "blurred": _blurred,
    "deformed": _deformed,
    "mass effect": _mass_effect,
    "missing tissue": _missing,
}
ARTEFACTS: dict[str, Callable[[Spot], Slice]] = {"noise": _noise, "ghosting": _ghosting}
KINDS = {**LESIONS, **ARTEFACTS}


def insert(
    kind: str,
    image: Slice,
    tissue: Mask,
    donor: tuple[Slice, Mask],
    *,
    limits: tuple[float, float],
    key: tuple[int, str, int],
) -> Insertion:
    """A slice [H, W] with one lesion or artefact of a kind, values kept within `limits`. The draw depends on the kind
    and on `key` (seed, patient, slice) alone. `donor` is another slice with its tissue."""
    rng = np.random.default_rng([key[0], list(KINDS).index(kind), zlib.crc32(key[1].encode()), key[2]])
    spot = _spot(image, tissue, donor, float(limits[0]), rng)
    changed = np.clip(KINDS[kind](spot), *limits).astype(np.float32)
    if kind in ARTEFACTS:
        return Insertion(changed, None)
    changed = np.where(tissue, changed, image)
    return Insertion(changed, tissue & (spot.distance < 1))


def _spot(image: Slice, tissue: Mask, donor: tuple[Slice, Mask], floor: float, rng: np.random.Generator) -> Spot:
    share = np.exp(rng.uniform(*np.log(SHARES)))
    radius = max(1.5, float(np.sqrt(share * tissue.sum() / np.pi)))
    place, source = (_centre(where, radius, rng) for where in (tissue, donor[1]))
    moved = np.roll(donor[0], (place[0] - source[0], place[1] - source[1]), (0, 1))
    rows, cols = (np.arange(n, dtype=np.float32) - at for n, at in zip(image.shape, place, strict=True))
    rows, cols = np.meshgrid(rows, cols, indexing="ij")
    distance = np.hypot(rows, cols) / (radius * _outline(np.arctan2(rows, cols), rng))
    edge = rng.uniform(0.1, 0.5)
    ramp = np.clip((1 - distance) / edge + 0.5, 0, 1)
    soft = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return Spot(image, floor, tissue, rows, cols, distance.astype(np.float32), soft, radius, moved, rng)


def _outline(angle: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """The radius at each angle: an ellipse of area 1 with three waves around it."""
    aspect, turn = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    ellipse = 1 / np.sqrt(aspect * np.cos(angle - turn) ** 2 + np.sin(angle - turn) ** 2 / aspect)
    waves = sum(rng.uniform(0, 0.12) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    return np.asarray(ellipse * (1 + waves))


def _centre(tissue: Mask, radius: float, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel of tissue whose disc lies in tissue, or the likeliest where there is none."""
    rows, cols = (np.fft.fftfreq(n, 1 / n) for n in tissue.shape)
    disc = np.hypot(rows[:, None], cols[None]) <= radius
    inside = np.fft.irfft2(np.fft.rfft2(tissue) * np.fft.rfft2(disc), tissue.shape) / disc.sum()
    inside = np.where(tissue, np.round(inside, 6), -1.0)
    spots = np.argwhere(inside >= min(INSIDE, inside.max()))
    row, col = spots[int(rng.random() * len(spots))]
    return int(row), int(col)


def blur(image: Slice, sigma: float) -> Slice:
    """A Gaussian blur of [H, W] by the Fourier transform (edges wrap around)."""
    rows, cols = np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None]
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + cols**2))
    return np.fft.irfft2(np.fft.rfft2(image) * kernel, image.shape).astype(np.float32)


def _moved(spot: Spot, pull: NDArray[np.floating]) -> Slice:
    """The slice taken from a share `pull` [H, W] nearer the lesion's centre; linear interpolation."""
    at = [np.arange(n, dtype=np.float32) for n in spot.image.shape]
    rows = np.clip(at[0][:, None] - spot.rows * pull, 0, spot.image.shape[0] - 1.001)
    cols = np.clip(at[1][None] - spot.cols * pull, 0, spot.image.shape[1] - 1.001)
    top, left = rows.astype(int), cols.astype(int)
    down, right = rows - top, cols - left
    image = spot.image
    above = image[top, left] * (1 - right) + image[top, left + 1] * right
    below = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down, np.float32)
