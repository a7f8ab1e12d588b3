"""The denoising autoencoder of Kascenas, Pugeault and O'Neil (MIDL 2022)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, in_batches, learn, smoothed, tissue
from maescan.train.rivals.networks import UNet

CELLS = 16  # of the noise along a side, as in the paper at 128 pixels
NOISE = 0.2  # of the range of the values


class DenoisingAutoencoder:
    """A U-Net takes coarse noise out of healthy slices; a slice scores the mean of what it would take out of it."""

    def __init__(self, size: Size) -> None:
        self.size = size
        torch.manual_seed(size.seed)
        self.network = UNet(1, 1, size.width).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """Noise on a grid of CELLS, moved about at random and enlarged, within tissue."""
        learn(self.network.parameters(), drawn(healthy, self.size), self._loss, self.size.steps)
        self.network.eval()

    def _loss(self, images: Tensor) -> Tensor:
        inside, reach = tissue(images), images.amax() - images.amin()
        grid = torch.randn(len(images), 1, CELLS, CELLS, device=images.device)
        noise = F.interpolate(grid, size=images.shape[2:], mode="bilinear")
        shift = torch.randint(images.shape[2], (2,)).tolist()
        noisy = images + NOISE * reach * inside * torch.roll(noise, shift, (2, 3))
        loss: Tensor = (inside * (self.network(noisy) - images) ** 2).sum() / inside.sum().clamp(min=1)
        return loss

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The mean difference; the map is blurred a little, as the paper's median filter does."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.mean(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        return smoothed(tissue(images) * (self.network(images) - images).abs(), 1.0)[:, 0]
