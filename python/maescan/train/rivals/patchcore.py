"""PatchCore (Roth et al., CVPR 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, in_batches, smoothed
from maescan.train.rivals.features import features

SHOWN, POOL, BANK = 512, 20_000, 2_000  # slices, their patches, and those that are kept
PROJECTED = 64
NEAR = 9  # neighbours that a score is weighed by, as in the paper


class PatchCore:
    """A bank of healthy patches' features; a patch scores its distance to the nearest, a slice its highest."""

    def __init__(self, size: Size) -> None:
        self.size, self.rng = size, np.random.default_rng([size.seed, 31])
        self.backbone = features(size)
        self.bank = torch.empty(0)

    def fit(self, healthy: SliceStore) -> None:
        """Keeps the patches that lie farthest from each other (a greedy core set)."""
        which = np.sort(self.rng.permutation(len(healthy))[:SHOWN])
        images = torch.from_numpy(np.asarray(healthy[which], np.float32)[:, None]).to(self.size.device)
        self.backbone.settle(images)
        with torch.no_grad():
            every = torch.cat([self._patches(part).flatten(0, 1) for part in images.split(32)])
        some = torch.from_numpy(self.rng.permutation(len(every))[:POOL]).to(every.device)
        self.bank = core_set(every[some], BANK, self.size.seed)

    def _patches(self, images: Tensor) -> Tensor:
        """Features [B, h * w, C], each the mean of 3 x 3."""
        fine, coarse = (F.avg_pool2d(part, 3, 1, 1) for part in self.backbone(images))
        both = torch.cat([fine, F.interpolate(coarse, size=fine.shape[2:], mode="bilinear")], dim=1)
        return both.flatten(2).transpose(1, 2)

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The highest distance, weighed by how near the bank lies to the patch's neighbour in it."""
        answers = in_batches(slices, self._answers, self.size.device)
        return answers[:, 0, 0], answers[:, 1:]

    def _answers(self, images: Tensor) -> Tensor:
        """[B, 1 + H, W]: a row that has the score, then the map."""
        patches = self._patches(images)
        distance, nearest = torch.cdist(patches, self.bank.expand(len(images), -1, -1)).min(dim=2)
        highest, at = distance.max(dim=1)
        rows = torch.arange(len(images), device=images.device)
        neighbour, patch = self.bank[nearest[rows, at]], patches[rows, at]
        around = torch.cdist(neighbour, self.bank).topk(min(NEAR, len(self.bank)), largest=False).indices
        others = (patch[:, None] - self.bank[around]).norm(dim=2)
        weight = 1 - torch.softmax(others / patch.shape[1] ** 0.5, dim=1)[:, 0]
        side = int(distance.shape[1] ** 0.5)
        maps = F.interpolate(distance.reshape(-1, 1, side, side), size=images.shape[2:], mode="bilinear")
        score = (weight * highest)[:, None, None].expand(-1, 1, images.shape[3])
        return torch.cat([score, smoothed(maps, 1.0)[:, 0]], dim=1)


def core_set(features: Tensor, count: int, seed: int) -> Tensor:
    """`count` of features [N, C], each the farthest from those chosen before it, by a random projection."""
    torch.manual_seed(seed)
    projected = features @ torch.randn(features.shape[1], PROJECTED, device=features.device)
    nearest, chosen = torch.full((len(features),), torch.inf, device=features.device), [0]
    for _ in range(min(count, len(features)) - 1):
        nearest = torch.minimum(nearest, (projected - projected[chosen[-1]]).square().sum(dim=1))
        chosen.append(int(nearest.argmax()))
    return features[chosen]
