"""Lesions for phantoms: where they lie, how they look, what they push aside, which voxels show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maescan.datasets.phantom.fields import Grid, Volume, below

Mask = NDArray[np.bool_]
MIN_MASK_MM2 = 160  # a slice that shows less is not called abnormal: no one could see it
VISIBLE = 0.5  # the share of a lesion's contrast from which a voxel counts as changed: its outline at half height


STEPS = 1.1673039782614187 ** -np.arange(1.0, 5.0)  # powers of the root of x^5 = x + 1


@dataclass(frozen=True)
class Plan:
    """height and kind: shares in 0..1 that say where along the scan a lesion lies and how it looks."""

    height: float
    kind: float


@dataclass(frozen=True)
class Look:
    """radius in mm; contrast: signed, in the unit of the volume; ring: share of the radius that is core, whose
    contrast is the opposite (0: none); edge: softness of the outline as a share of the radius."""

    radius: float
    contrast: float
    ring: float
    edge: float


@dataclass(frozen=True, eq=False)
class Lesion:
    """centre [3] in mm; strength [X, Y, Z] in 0..1; profile [X, Y, Z]: strength with the ring's sign."""

    look: Look
    centre: NDArray[np.float32]
    strength: Volume
    profile: Volume


def plan(seed: int, index: int) -> list[Plan]:
    """One lesion or two for the scan of that index. Over any run of indices heights and looks are spread evenly (the
    additive recurrence of low discrepancy in four dimensions), so that few scans suffice to be balanced."""
    start = np.random.default_rng([seed, 4]).random(4)
    shares = (start + index * STEPS) % 1
    two = np.random.default_rng([seed, 5, index]).random() < 0.4
    return [Plan(*shares[:2]), Plan(*shares[2:])][: 1 + two]


def place(grid: Grid, points: Volume, inside: Mask, height: float, look: Look, rng: np.random.Generator) -> Lesion:
    """A lesion of that look somewhere `inside`; heights 0 to 1 span the volume and a little beyond, so that the
    slices at the ends show lesions as often as the others do and position gives nothing away."""
    height = (2 * height - 1) * (grid.extent[2] / 2 + 0.5 * look.radius)
    level = int(np.clip(height / grid.spacing[2] + grid.shape[2] / 2, 0, grid.shape[2] - 1))
    spots = np.argwhere(inside[:, :, level])
    share = rng.random()
    if len(spots) == 0:
        spots = np.array([[n // 2 for n in grid.shape[:2]]])
    x, y = spots[int(share * len(spots))]
    centre = np.array([*points[:2, x, y, level], height], np.float32)
    outline = 1 + 0.16 * grid.smooth(rng, max(8.0, look.radius))
    distance = _distance(points, centre) / (look.radius * outline)
    strength = below(distance - 1, look.edge)
    core = below(distance - look.ring, 0.15) if look.ring else np.float32(0)
    return Lesion(look, centre, strength, strength * (1 - 2 * core))


def push(points: Volume, lesion: Lesion) -> Volume:
    """Mass effect: around a lesion, tissue is taken from nearer its centre, so it appears pushed away."""
    pull = 0.35 * np.exp(-((_distance(points, lesion.centre) / lesion.look.radius) ** 2) / 2)
    return points - pull * (points - lesion.centre[:, None, None, None])


def shown(grid: Grid, lesions: Sequence[Lesion], changes: Sequence[Volume], inside: Mask) -> Mask:
    """The voxels [X, Y, Z] inside whose lesion is there, without the slices in which hardly any of it shows."""
    mask = np.zeros(inside.shape, bool)
    for lesion, change in zip(lesions, changes, strict=True):
        there = inside & (lesion.strength > VISIBLE)
        seen = there & (np.abs(change) > VISIBLE * abs(lesion.look.contrast))
        mask |= there & (seen.sum(axis=(0, 1)) * np.prod(grid.spacing[:2]) >= MIN_MASK_MM2)
    return mask


def _distance(points: Volume, centre: NDArray[np.float32]) -> Volume:
    offset = points - centre[:, None, None, None]
    return np.sqrt(np.einsum("i...,i...->...", offset, offset))
