"""A slab of a chest in Hounsfield units: body, lungs with vessels, heart, aorta, airways, bones, nodules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.phantom.fields import Grid, Volume, below, blend, ellipsoid, turned
from maescan.datasets.phantom.lesions import Look, Mask, Plan, place, push, shown

EXTENT = (336.0, 336.0, 128.0)
Solid = tuple[tuple[float, ...], tuple[float, ...]]
AIR, FAT, MUSCLE, BLOOD = -1000, -100, 50, 40


def chest(grid: Grid, streams: list[np.random.Generator], plans: list[Plan]) -> tuple[NDArray[np.int16], Mask]:
    """(voxels, lesion mask), both [X, Y, Z]. streams: generators for anatomy, disease and noise.
    plans: its lesions."""
    anatomy, disease, noise = streams
    points = grid.points()
    trunk = grid.deform(turned(points, anatomy, 4), anatomy, anatomy.uniform(2, 5), 70)
    trunk = trunk / np.float32(anatomy.uniform(0.92, 1.04)) + np.float32(anatomy.uniform(-4, 4))
    heart = (-18.0, 22.0, -52.0), (anatomy.uniform(50, 60), 44.0, 62.0)
    lungs = _lungs(trunk, heart, anatomy)
    inside = lungs > 0.5
    lesions = [place(grid, points, inside, p.height, _look(disease, p.kind), disease) for p in plans]
    pushed = trunk
    for lesion in lesions:
        pushed = pushed + (push(points, lesion) - points)
    values = blend(_body(trunk, heart, anatomy), lungs, _parenchyma(grid, pushed, lungs, anatomy))
    values = _airways(values, trunk)
    changes = []
    for lesion in lesions:
        target = np.where(lesion.profile < 0, -940, np.clip(values + np.float32(lesion.look.contrast), -560, 40))
        changes.append(lesion.strength * np.maximum(lungs, 0.3) * (np.where(values > -300, values, target) - values))
        values = values + changes[-1]
    return _acquire(values, noise), shown(grid, lesions, changes, inside)


def _look(rng: np.random.Generator, kind: float) -> Look:
    """Solid, ground glass, or a cavity with a solid wall."""
    radius, edge, ring = rng.uniform(9, 17), rng.uniform(0.1, 0.22), rng.uniform(0.4, 0.6)
    return Look(radius, rng.uniform(350, 880), ring if kind < 0.25 else 0.0, edge)


def _lungs(trunk: Volume, heart: Solid, rng: np.random.Generator) -> Volume:
    """Weight of lung tissue: two sacs, less the heart, the vessels and the spine between them."""
    width, depth = rng.uniform(52, 60), rng.uniform(72, 82)
    sacs = [ellipsoid(trunk, (side * 64, -2, -20), (width, depth, 190)) for side in (-1.0, 1.0)]
    outside = np.minimum(*sacs)
    spine = ellipsoid(trunk, (0, -72, 0), (26, 26, 900))
    middle = ellipsoid(trunk, (0, 10, 0), (13, 70, 900))
    other = np.minimum(ellipsoid(trunk, *heart), np.minimum(spine, middle))
    return below(outside, 1.5) * (1 - below(other, 1.5))


def _body(trunk: Volume, heart: Solid, rng: np.random.Generator) -> Volume:
    width, depth, fat = rng.uniform(143, 152), rng.uniform(102, 110), rng.uniform(6, 14)
    skin = ellipsoid(trunk, (0, 0, 0), (width, depth, 700))
    values = blend(np.full_like(skin, AIR), below(skin, 1), FAT)
    values = blend(values, below(skin + np.float32(fat), 2), MUSCLE)
    values = blend(values, below(ellipsoid(trunk, (0, 6, 30), (40, 58, 900)), 4), FAT)
    for x, y, radius in ((-22, -46, 12.0), (8, 24, 15.0), (16, 2, 9.0)):  # descending and ascending aorta, cava
        values = blend(values, below(np.hypot(trunk[0] - x, trunk[1] - y) - np.float32(radius), 1.2), BLOOD)
    values = blend(values, below(ellipsoid(trunk, *heart), 2), BLOOD)
    return _bones(values, trunk, skin + np.float32(fat), rng)


def _bones(values: Volume, trunk: Volume, wall: Volume, rng: np.random.Generator) -> Volume:
    """Ribs that slope forwards in the wall, breast bone, vertebrae with their canal."""
    slope = trunk[2] - 0.35 * trunk[1]
    ribs = np.exp(-(((wall + 9) / 4) ** 2)) * below(np.float32(0.2) - np.sin(slope / 5 + rng.uniform(0, 6)), 0.25)
    values = blend(values, ribs * below(-np.abs(trunk[0]) + 25, 4), 420)
    sternum = ellipsoid(trunk, (0, 88, 0), (18, 6, 300))
    values = blend(values, below(sternum, 1), 220)
    body, canal = ellipsoid(trunk, (0, -70, 0), (19, 15, 900)), ellipsoid(trunk, (0, -92, 0), (9, 8, 900))
    process = ellipsoid(trunk, (0, -96, 0), (30, 9, 900))
    values = blend(blend(values, below(process, 1.5), 300), below(body, 1), 240)
    values = blend(values, np.exp(-(((body + 2) / 2) ** 2)), 520)
    return blend(values, below(canal, 1), 30)


def _parenchyma(grid: Grid, trunk: Volume, lungs: Volume, rng: np.random.Generator) -> Volume:
    """Aerated tissue, denser where the patient lies on it, with vessels: the curves where two random fields both
    pass zero, thinner away from the hilum."""
    tissue = np.float32(rng.uniform(-880, -820)) - np.float32(rng.uniform(0.1, 0.5)) * trunk[1]
    first, second = grid.smooth(rng, 34), grid.smooth(rng, 34)
    hilum = np.exp(-(((np.abs(trunk[0]) - 25) / 55) ** 2) - ((trunk[1] + 5) / 60) ** 2)
    width = np.float32(0.06) + np.float32(0.14) * hilum
    vessels = np.exp(-(first**2 + second**2) / width**2)
    return blend(tissue, vessels * (0.55 + 0.45 * hilum), BLOOD)


def _airways(values: Volume, trunk: Volume) -> Volume:
    """The windpipe, and below its fork the two main bronchi."""
    spread = 0.9 * np.maximum(20 - trunk[2], 0)
    for side in (-1.0, 1.0):
        tube = np.hypot(trunk[0] - np.float32(side) * spread, trunk[1] + 12) - np.where(trunk[2] > 20, 8.5, 6)
        inside = below(tube.astype(np.float32), 1.2) * below(np.float32(-12) - trunk[2], 3)
        values = blend(values, inside, AIR)
    return values


def _acquire(values: Volume, rng: np.random.Generator) -> NDArray[np.int16]:
    """With noise, correlated over neighbours as reconstruction leaves it."""
    noise = rng.standard_normal(values.shape, dtype=np.float32)
    noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / np.float32(3**0.5)
    noisy = values + np.float32(rng.uniform(12, 32)) * noise
    return np.clip(np.round(noisy), -1024, 3071).astype(np.int16)
