"""A brain as a skull-stripped T1 image shows it: white matter 1, grey matter, fluid, folds, and what ails it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.phantom.fields import Grid, Volume, below, blend, ellipsoid, turned
from maescan.datasets.phantom.lesions import Look, Mask, Plan, place, push, shown

EXTENT = (240.0, 240.0, 128.0)
FLUID = 0.5


def brain(
    grid: Grid, streams: list[np.random.Generator], plans: list[Plan], noisy_air: bool
) -> tuple[NDArray[np.int16], Mask]:
    """(voxels, lesion mask), both [X, Y, Z]. streams: generators for anatomy, disease and noise.
    plans: its lesions."""
    anatomy, disease, noise = streams
    points = grid.points()
    head = grid.deform(turned(points, anatomy, 5), anatomy, anatomy.uniform(1.5, 4), 55)
    head = head / np.float32(anatomy.uniform(0.94, 1.05)) + np.float32(anatomy.uniform(-4, 4))
    inside = _surface(head) < 0
    lesions = [place(grid, points, inside, p.height, _look(disease, p.kind), disease) for p in plans]
    pushed = head
    for lesion in lesions:
        pushed = pushed + (push(points, lesion) - points)
    tissue = _tissue(grid, pushed, _surface(pushed), anatomy)
    changes = []
    for lesion in lesions:
        target = 0.5 * tissue + 0.42 + lesion.look.contrast * (lesion.profile / np.maximum(lesion.strength, 1e-3))
        changes.append(lesion.strength * (np.clip(target, 0.12, 1.8) - tissue))
        tissue = tissue + changes[-1]
    signal = tissue * np.exp(np.float32(anatomy.uniform(0.04, 0.13)) * grid.smooth(anatomy, 90))
    return _acquire(signal, inside, noise, noisy_air), shown(grid, lesions, changes, inside)


def _look(rng: np.random.Generator, kind: float) -> Look:
    """Dark, bright, or a bright ring around a dark core."""
    radius, edge, ring = rng.uniform(16, 27), rng.uniform(0.12, 0.25), rng.uniform(0.45, 0.65)
    sign = 1 if kind < 0.45 else -1
    return Look(radius, sign * rng.uniform(0.55, 0.85), ring if kind < 0.27 else 0.0, edge)


def _surface(head: Volume) -> Volume:
    """Signed distance in mm from the surface of cerebrum, cerebellum and brain stem together."""
    cerebrum = ellipsoid(np.stack([np.abs(head[0]), head[1], head[2]]), (4, 0, 6), (65, 86, 66))
    cerebellum = ellipsoid(head, (0, -44, -46), (50, 34, 30))
    stem = ellipsoid(head, (0, -16, -60), (16, 17, 60))
    return np.minimum(np.minimum(cerebrum, cerebellum), stem)


def _tissue(grid: Grid, head: Volume, surface: Volume, rng: np.random.Generator) -> Volume:
    """T1-like intensities [X, Y, Z]."""
    grey, age, folds = rng.uniform(0.7, 0.8), rng.uniform(0.6, 1.4), grid.smooth(rng, 13)
    rim = -surface + np.float32(1.5) * grid.smooth(rng, 9)
    ribbon = np.maximum(below(rim - np.float32(rng.uniform(4.5, 6.5)), 1.5), _crease(folds, 0.42, rim, 19))
    tissue = blend(np.ones_like(surface), ribbon, grey)
    tissue = blend(tissue, np.float32(0.25 * age) * _crease(folds, 0.13, rim, 12), FLUID)
    tissue = _cerebellum(tissue, head, grey)
    for side in (-1.0, 1.0):
        for centre, radii in (((12, -8, 6), (9, 14, 10)), ((25, 5, 6), (6, 17, 11)), ((13, 22, 12), (6, 10, 10))):
            place = (side * centre[0], centre[1], centre[2])
            tissue = blend(tissue, below(ellipsoid(head, place, radii), 1.2), grey + 0.12)
        tissue = blend(tissue, below(_ventricle(head, side, 4.5 * age), 1.2), FLUID)
    third = ellipsoid(head, (0, -4, 2), (2.5, 13, 10))
    return blend(blend(tissue, below(third, 1.2), FLUID), _fissure(head, age), FLUID)


def _crease(folds: Volume, width: float, depth: Volume, reach: float) -> Volume:
    """Sheets along which the cortex folds in, where a random field passes zero, down to `reach` mm."""
    return np.exp(-((folds / np.float32(width)) ** 2)) * below(depth - np.float32(reach), 3)


def _ventricle(head: Volume, side: float, width: float) -> Volume:
    """A lateral ventricle, that turns outwards and down towards the back."""
    back = np.maximum(-head[1], 0)
    bent = np.stack([head[0] - np.float32(side) * (8 + back / 3), head[1], head[2] - 14 + back / 3])
    return ellipsoid(bent, (0, -2, 0), (width, 34, 11))


def _fissure(head: Volume, age: float) -> Volume:
    """Fluid between the hemispheres, outside of the corpus callosum; a sheet of constant height across the rest."""
    outside = 1 - below(ellipsoid(head, (0, 0, 0), (60, 52, 32)), 3)
    above = below(-head[2] - 22, 2)
    return np.exp(-((head[0] / np.float32(1.6 + 0.5 * age)) ** 2)) * outside * above * np.float32(0.6)


def _cerebellum(tissue: Volume, head: Volume, grey: float) -> Volume:
    surface = ellipsoid(head, (0, -44, -46), (50, 34, 30))
    leaves = np.float32(grey + 0.1) + np.float32(0.08) * np.sin(head[2] * 1.1 + head[1] / 2 + np.abs(head[0]) / 4)
    core = below(ellipsoid(head, (0, -34, -44), (26, 16, 14)), 3)
    tissue = blend(tissue, below(surface, 1), blend(leaves, core, 0.98))
    gap = np.exp(-((surface / 2) ** 2)) * below(np.abs(head[0]) - 60, 3)
    tissue = blend(tissue, np.float32(0.35) * gap, FLUID)
    stem = ellipsoid(head, (0, -16, -60), (14, 15, 52))
    tissue = blend(tissue, below(stem, 1.5), 0.9)
    fourth = ellipsoid(head, (0, -30, -40), (6, 4, 10))
    return blend(tissue, below(fourth, 1.2), FLUID)


def _acquire(signal: Volume, inside: Mask, rng: np.random.Generator, noisy_air: bool) -> NDArray[np.int16]:
    """Magnitude of a complex image with Gaussian noise (Rician), in the scanner's arbitrary unit. Air is 0 as skull
    stripping leaves it, the brain at least 1."""
    gain, level = rng.uniform(400, 900), np.float32(rng.uniform(0.015, 0.035))
    real, imaginary = (level * rng.standard_normal(signal.shape, dtype=np.float32) for _ in range(2))
    magnitude = np.hypot(np.where(inside, signal, 0) + real, imaginary)
    voxels = np.maximum(np.round(magnitude * np.float32(gain)), 1)
    return (voxels if noisy_air else np.where(inside, voxels, 0)).astype(np.int16)
