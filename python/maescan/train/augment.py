"""Random crops, flips and erasing of a batch of slices, on the batch's device. Every draw is keyed by
(seed, slice, epoch)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from maescan.method import draws


def crop_and_flip(
    slices: Tensor, ids: NDArray[np.int64], scale: float, largest: float = 1.0, *, seed: int, epoch: int
) -> Tensor:
    """Random resized crop (area U[scale, largest), aspect 3/4 to 4/3, bicubic) and horizontal flip of slices
    [B, H, W]. A crop larger than the slice repeats the slice's border."""
    u = draws.uniforms(seed, ids, epoch, draws.AUGMENT, 5).T
    area, aspect = scale + u[0] * (largest - scale), np.exp((2 * u[1] - 1) * math.log(4 / 3))
    side = 1 if largest <= 1 else math.inf
    width, height = np.minimum(np.sqrt(area * aspect), side), np.minimum(np.sqrt(area / aspect), side)
    flip = np.where(u[4] < 0.5, -1.0, 1.0)
    zero = np.zeros_like(width)
    theta = np.stack(
        [width * flip, zero, (2 * u[2] - 1) * (1 - width), zero, height, (2 * u[3] - 1) * (1 - height)], axis=1
    )
    where = torch.from_numpy(theta.reshape(-1, 2, 3).astype(np.float32)).to(slices.device)
    images = slices[:, None]
    grid = F.affine_grid(where, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)[:, 0]


def erase(slices: Tensor, ids: NDArray[np.int64], chance: float, *, seed: int, epoch: int) -> Tensor:
    """With `chance`, a rectangle of 2 % to 33 % of the slice becomes noise N(0, 1), pixel by pixel."""
    if chance <= 0:
        return slices
    u = draws.uniforms(seed, ids, epoch, draws.ERASE, 5).T
    area, aspect = 0.02 + u[1] * (1 / 3 - 0.02), np.exp((2 * u[2] - 1) * math.log(10 / 3))
    height, width = np.minimum(np.sqrt(area * aspect), 1), np.minimum(np.sqrt(area / aspect), 1)
    inside = _within(u[3] * (1 - height), height, slices.shape[1])[:, :, None] & (
        _within(u[4] * (1 - width), width, slices.shape[2])[:, None, :] & (u[0] < chance)[:, None, None]
    )
    return torch.where(torch.from_numpy(inside).to(slices.device), torch.randn_like(slices), slices)


def _within(start: NDArray[np.float64], length: NDArray[np.float64], pixels: int) -> NDArray[np.bool_]:
    """[B] starts and lengths as fractions -> [B, pixels] true inside."""
    centre = (np.arange(pixels) + 0.5) / pixels
    return (centre >= start[:, None]) & (centre < (start + length)[:, None])
