"""Random crops, flips and erasing of a batch of slices, on the batch's device. Every draw is keyed by
(seed, slice, epoch)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from maescan.config import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.method import draws

Ids = NDArray[np.int64]
Fractions = NDArray[np.float64]
Training = MaeTraining | ClassifierTraining | JudgeTraining
TRIES = 10  # of torchvision and timm, until a rectangle fits into the slice


def crop_and_flip(slices: Tensor, ids: Ids, config: Training, *, seed: int, epoch: int) -> Tensor:
    """Random resized crop (area U[crop_scale, crop_largest), aspect 3/4 to 4/3, bicubic) and horizontal flip of
    slices [B, H, W]. A crop larger than the slice repeats the slice's border."""
    left, top, width, height, flip = crop_windows(config, ids, slices.shape[-1], seed=seed, epoch=epoch)
    zero = np.zeros_like(width)
    theta = np.stack(
        [width * np.where(flip, -1.0, 1.0), zero, 2 * left + width - 1, zero, height, 2 * top + height - 1], axis=1
    )
    where = torch.from_numpy(theta.reshape(-1, 2, 3).astype(np.float32)).to(slices.device)
    images = slices[:, None]
    grid = F.affine_grid(where, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)[:, 0]


def crop_windows(
    config: Training, ids: Ids, side: int, *, seed: int, epoch: int
) -> tuple[Fractions, Fractions, Fractions, Fractions, NDArray[np.bool_]]:
    """(left, top, width, height, flipped) [B] of crops, as fractions of a slice of `side` x `side` pixels.

    redraw: as torchvision's RandomResizedCrop and timm's, in whole pixels; what does not fit is drawn again, and is
    the whole slice after ten times. clamp: what does not fit is cut at the slice's sides.
    """
    u = draws.uniforms(seed, ids, epoch, draws.AUGMENT, 5 * TRIES).reshape(-1, TRIES, 5)
    area = config.crop_scale + u[..., 0] * (config.crop_largest - config.crop_scale)
    aspect = np.exp((2 * u[..., 1] - 1) * math.log(4 / 3))
    width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
    most = 1 if config.crop_largest <= 1 else math.inf
    flip = u[:, 0, 4] < 0.5
    if config.crop == "clamp":
        width, height = np.minimum(width[:, 0], most), np.minimum(height[:, 0], most)
        return u[:, 0, 2] * (1 - width), u[:, 0, 3] * (1 - height), width, height, flip
    width, height = np.rint(width * side), np.rint(height * side)
    fits = (width >= 1) & (height >= 1) & (np.maximum(width, height) <= side * most)
    first = fits.argmax(axis=1)
    chosen = [part[np.arange(len(u)), first] for part in (width, height, u[..., 2], u[..., 3])]
    width, height = (np.where(fits.any(axis=1), part, side) for part in chosen[:2])
    left, top = (np.floor(at * (side - n + 1)) for at, n in zip(chosen[2:], (width, height), strict=True))
    return left / side, top / side, width / side, height / side, flip


def coarse_noise(slices: Tensor, ids: Ids, config: MaeTraining, *, seed: int, epoch: int) -> Tensor:
    """Slices [B, H, W] with smooth noise of `config.noise` standard deviations of each slice's tissue on its tissue,
    which is what is above the slice's lowest value."""
    cells = config.noise_cells
    u = draws.uniforms(seed, ids, epoch, draws.COARSE_NOISE, 2 * cells * cells).reshape(len(ids), 2, 1, cells, cells)
    normal = np.sqrt(-2 * np.log1p(-u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
    coarse = torch.from_numpy(normal.astype(np.float32)).to(slices.device)
    smooth = F.interpolate(coarse, slices.shape[1:], mode="bicubic")
    tissue = slices > slices.amin(dim=(1, 2), keepdim=True)
    count = tissue.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean = (slices * tissue).sum(dim=(1, 2), keepdim=True) / count
    spread = (((slices - mean) * tissue).square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
    return slices + config.noise * spread * smooth[:, 0] * tissue


def erase(slices: Tensor, ids: Ids, config: ClassifierTraining, *, seed: int, epoch: int) -> Tensor:
    """With the chance `erasing`, a rectangle of 2 % to 33 % of the slice becomes noise N(0, 1), pixel by pixel."""
    if config.erasing <= 0:
        return slices
    inside = torch.from_numpy(erased(config, ids, slices.shape[1:], seed=seed, epoch=epoch)).to(slices.device)
    return torch.where(inside, torch.randn_like(slices), slices)


def erased(
    config: ClassifierTraining, ids: Ids, shape: tuple[int, ...], *, seed: int, epoch: int
) -> NDArray[np.bool_]:
    """Which pixels [B, H, W] are erased. Rectangles that do not fit are drawn again, as timm's RandomErasing, or
    clamped: as `config.crop` has it."""
    u = draws.uniforms(seed, ids, epoch, draws.ERASE, 5 * TRIES).reshape(-1, TRIES, 5)
    area, aspect = 0.02 + u[..., 1] * (1 / 3 - 0.02), np.exp((2 * u[..., 2] - 1) * math.log(10 / 3))
    height, width = np.sqrt(area * aspect), np.sqrt(area / aspect)
    first = np.zeros(len(u), int)
    wanted = u[:, 0, 0] < config.erasing
    if config.crop == "redraw":
        fits = (height < 1) & (width < 1)
        first, wanted = fits.argmax(axis=1), wanted & fits.any(axis=1)
    row = np.arange(len(u)), first
    height, width = np.minimum(height[row], 1), np.minimum(width[row], 1)
    rows = _within(u[..., 3][row] * (1 - height), height, shape[0])
    columns = _within(u[..., 4][row] * (1 - width), width, shape[1])
    return rows[:, :, None] & columns[:, None, :] & wanted[:, None, None]


def _within(start: Fractions, length: Fractions, pixels: int) -> NDArray[np.bool_]:
    """[B] starts and lengths as fractions -> [B, pixels] true inside."""
    centre = (np.arange(pixels) + 0.5) / pixels
    return (centre >= start[:, None]) & (centre < (start + length)[:, None])
