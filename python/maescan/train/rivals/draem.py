"""DRAEM (Zavrtanik, Kristan and Skocaj, ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, in_batches, learn, smoothed, tissue
from maescan.train.rivals.networks import UNet

FOCUS = 2.0  # of the focal loss
OCTAVES = (3, 6, 12)  # cells of the noise along a side, each half as strong as the one before


class Draem:
    """One U-Net restores slices with textures put in, a second tells from both where they were. Textures are other
    slices turned about, brighter or darker, and grain: the paper's pictures of materials are none of a scan's."""

    def __init__(self, size: Size) -> None:
        self.size = size
        torch.manual_seed(size.seed)
        self.restore = UNet(1, 1, size.width).to(size.device)
        self.tell = UNet(2, 1, size.width).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """Both at once; half of the slices have nothing put in."""
        weights = [*self.restore.parameters(), *self.tell.parameters()]
        learn(weights, drawn(healthy, self.size), self._loss, self.size.steps)
        self.restore.eval(), self.tell.eval()

    def _loss(self, images: Tensor) -> Tensor:
        altered, where = anomalous(images)
        restored = self.restore(altered)
        logits = self.tell(torch.cat([altered, restored], dim=1))
        each = F.binary_cross_entropy_with_logits(logits, where, reduction="none")
        focal = (1 - torch.exp(-each)) ** FOCUS * each
        return F.mse_loss(restored, images) + F.l1_loss(restored, images) + 10 * focal.mean()

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The highest of the blurred map of probabilities, as in the paper."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.max(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        logits = self.tell(torch.cat([images, self.restore(images)], dim=1))
        return smoothed(torch.sigmoid(logits), images.shape[2] / 64)[:, 0]


def anomalous(images: Tensor) -> tuple[Tensor, Tensor]:
    """Slices [B, 1, H, W], every second with a texture put in, and where [B, 1, H, W]."""
    count, side, device = len(images), images.shape[2], images.device
    level = torch.zeros_like(images)
    for octave, cells in enumerate(OCTAVES):
        grid = torch.randn(count, 1, cells, cells, device=device)
        level += 0.5**octave * F.interpolate(grid, size=(side, side), mode="bicubic")
    inside = tissue(images)
    where = (level > torch.empty(count, 1, 1, 1, device=device).uniform_(0.4, 1.2)).float() * inside
    where[::2] = 0
    mean = (inside * images).sum(dim=(1, 2, 3), keepdim=True) / inside.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    turned = torch.rot90(images.roll(1, 0), int(torch.randint(4, ())), (2, 3))
    grain = mean + images.std() * torch.randn_like(images)
    texture = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.5, turned, grain)
    texture = texture + images.std() * torch.randn(count, 1, 1, 1, device=device)
    share = torch.empty(count, 1, 1, 1, device=device).uniform_(0, 0.8)
    mixed = (share * images + (1 - share) * texture).clamp(min=float(images.amin()))
    return where * mixed + (1 - where) * images, where
