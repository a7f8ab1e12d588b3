"""What phantoms are made of: a grid in millimetres, smooth random fields on it, soft-edged solids. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.floating]


@dataclass(frozen=True)
class Grid:
    """shape: voxels [X, Y, Z]; extent: millimetres [X, Y, Z]. A finer grid holds the same anatomy in finer voxels."""

    shape: tuple[int, int, int]
    extent: tuple[float, float, float]

    @property
    def spacing(self) -> NDArray[np.float64]:
        return np.array(self.extent) / np.array(self.shape)

    def points(self) -> Volume:
        """[3, X, Y, Z]: each voxel's millimetres from the centre, to the right, front and top."""
        axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(self.shape, self.spacing, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)

    def smooth(self, rng: np.random.Generator, cell: float) -> Volume:
        """A smooth Gaussian random field [X, Y, Z] of mean 0 and deviation 1, correlated over about `cell` mm.

        Its random numbers do not depend on the shape, so that anatomy does not either.
        """
        cells = [int(np.ceil(e / cell)) for e in self.extent]
        field = rng.standard_normal([n + 3 for n in cells])
        for size, count in zip(self.shape, cells, strict=True):
            field = np.tensordot(field, _spline(size, count), axes=(0, 1))  # the axis done becomes the last
        return field.astype(np.float32)

    def deform(self, points: Volume, rng: np.random.Generator, amplitude: float, cell: float) -> Volume:
        """Points moved by a smooth random field of `amplitude` mm."""
        return points + np.float32(amplitude) * np.stack([self.smooth(rng, cell) for _ in range(3)])


def _spline(size: int, cells: int) -> NDArray[np.float64]:
    """[size, cells + 3] cubic B-spline weights, scaled so that white noise of variance 1 keeps it."""
    at = (np.arange(size) + 0.5) * cells / size
    distance = np.abs(at[:, None] - (np.arange(cells + 3) - 1))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    scaled: NDArray[np.float64] = weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return scaled


def below(distance: Volume, width: float) -> Volume:
    """1 where `distance` is negative, 0 where positive, with a soft edge about 2 * `width` wide."""
    return np.float32(0.5) - np.float32(0.5) * np.tanh(distance / np.float32(width))


def ellipsoid(points: Volume, centre: tuple[float, ...], radii: tuple[float, ...]) -> Volume:
    """Signed distance from an ellipsoid's surface, negative inside: in mm, nearly."""
    square = sum(((points[i] - np.float32(centre[i])) / np.float32(radii[i])) ** 2 for i in range(3))
    return (np.sqrt(square) - 1) * np.float32(min(radii))


def blend(values: Volume, weight: Volume, other: Volume | float) -> Volume:
    """`values` where weight is 0, `other` where it is 1."""
    return values + weight * (np.float32(other) - values)


def turned(points: Volume, rng: np.random.Generator, degrees: float) -> Volume:
    """Points turned about each axis by up to `degrees`: a head is never quite straight."""
    turn = np.eye(3)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        angle, plane = np.deg2rad(rng.uniform(-degrees, degrees)), np.eye(3)
        plane[[i, j], [i, j]], plane[i, j], plane[j, i] = np.cos(angle), -np.sin(angle), np.sin(angle)
        turn = plane @ turn
    return np.tensordot(turn, points.astype(np.float64), axes=(1, 0)).astype(np.float32)
