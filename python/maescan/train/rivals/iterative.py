"""Iterative masking: IterMask2 (Liang et al., MICCAI 2024) and IterMask3D (2025), on slices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, in_batches, learn, smoothed, tissue
from maescan.train.rivals.networks import UNet

CUT = 15
"""Cycles a slice: what is coarser is kept from under the mask."""
ROUNDS, USUAL = 6, 0.9
"""Rounds of unmasking, and the share of healthy pixels whose error under a whole mask is taken for usual."""
CALIBRATED = 256


class IterativeMasking:
    """A U-Net fills in what a mask hides, of whose tissue it sees the fine detail alone. A slice begins with all of
    its tissue hidden; where the error is a usual one tissue is shown, round by round, so that what stays hidden is
    drawn from all that is healthy. One network has the part of the paper's two."""

    def __init__(self, size: Size) -> None:
        self.size, self.usual = size, 0.0
        torch.manual_seed(size.seed)
        self.network = UNet(3, 1, size.width).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """Masks of blobs, some of all tissue; then the usual error of healthy slices under a whole mask."""
        learn(self.network.parameters(), drawn(healthy, self.size), self._loss, self.size.steps)
        self.network.eval()
        which = np.unique(np.linspace(0, len(healthy) - 1, CALIBRATED).astype(int))
        some = np.asarray(healthy[which], np.float32)
        errors = in_batches(some, lambda images: self._error(images, tissue(images))[:, 0], self.size.device)
        inside = some > some.min(axis=(1, 2), keepdims=True)
        self.usual = float(np.quantile(errors[inside], USUAL))

    def _loss(self, images: Tensor) -> Tensor:
        mask = blobs(images)
        gaps = (self._filled(images, mask) - images).abs() * mask
        return gaps.sum() / mask.sum().clamp(min=1)

    def _filled(self, images: Tensor, mask: Tensor) -> Tensor:
        filled: Tensor = self.network(torch.cat([images * (1 - mask), fine(images) * mask, mask], dim=1))
        return filled

    def _error(self, images: Tensor, mask: Tensor) -> Tensor:
        return smoothed((self._filled(images, mask) - images).abs() * mask, 1.0) * mask

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The mean error of what stays hidden at the last."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.mean(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        mask = tissue(images)
        for _ in range(ROUNDS):
            mask = mask * (self._error(images, mask) > self.usual)
        return self._error(images, mask)[:, 0]


def fine(images: Tensor) -> Tensor:
    """Slices [B, 1, H, W] without what is coarser than CUT."""
    high, wide = images.shape[2:]
    across, down = torch.fft.rfftfreq(wide, 1 / wide), torch.fft.fftfreq(high, 1 / high)
    squared = (down[:, None] ** 2 + across[None] ** 2).to(images.device)
    kept = 1 - torch.exp(-squared / (2 * CUT**2))
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(high, wide))
    return found


def blobs(images: Tensor) -> Tensor:
    """What is hidden of slices [B, 1, H, W]: blobs of tissue, of a quarter of the slices all of it."""
    count, side = len(images), images.shape[2]
    level = F.interpolate(torch.randn(count, 1, 8, 8, device=images.device), size=(side, side), mode="bicubic")
    least = torch.empty(count, 1, 1, 1, device=images.device).uniform_(-1, 1)
    least[::4] = -torch.inf
    return (level > least).float() * tissue(images)
