"""Dinomaly (Guo et al., CVPR 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, highest, in_batches, learn, smoothed
from maescan.train.rivals.distillation import settle
from maescan.train.rivals.features import features

DROPPED = 0.2
"""Share of the bottleneck's values that training leaves out: the paper's noise."""
LARGE = 64
"""Channels from which a decoder has the paper's 8 blocks; smaller ones have 4."""
EASY, SLOW = 0.9, 0.1
"""The share of places that are best drawn, and what is left of their gradients."""


class LinearAttention(nn.Module):
    """Attention without a softmax, which cannot look at one place alone and so copies badly what is abnormal."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width], both ways."""
        query, key, value = self.three(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = F.elu(query) + 1, F.elu(key) + 1
        whole = key.transpose(2, 3) @ value
        total = query @ key.sum(dim=2)[..., None]
        answer: Tensor = self.out((query @ whole / total).transpose(1, 2).flatten(2))
        return answer


class Block(nn.Module):
    """Linear attention and an MLP, each beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = LinearAttention(width, width // 32)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width], both ways."""
        x = x + self.attention(self.norms[0](x))
        answer: Tensor = x + self.mlp(self.norms[1](x))
        return answer


class Dinomaly:
    """A decoder draws the backbone's two groups of features from a bottleneck with dropout; where it cannot, a slice
    is abnormal. The paper's encoder is DINOv2's; here it is that of the other rivals."""

    def __init__(self, size: Size) -> None:
        self.size, self.teacher = size, features(size)
        torch.manual_seed(size.seed)
        width, depth = sum(self.teacher.channels), 4 if size.width >= LARGE else 2
        bottleneck = [nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(DROPPED)]
        self.bottleneck = nn.Sequential(*bottleneck, nn.Linear(4 * width, width), nn.Dropout(DROPPED))
        self.halves = nn.ModuleList(nn.Sequential(*(Block(width) for _ in range(depth))) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(width, channels) for channels in reversed(self.teacher.channels))
        self.parts = nn.ModuleList([self.bottleneck, self.halves, self.heads]).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """The decoder on healthy slices."""
        settle(self.teacher, healthy, self.size)
        learn(self.parts.parameters(), drawn(healthy, self.size), self._loss, self.size.steps)
        self.parts.eval()

    def _features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(what the backbone sees, what is drawn of it): the coarse and the fine group, each [B, C, h, w], of
        the coarse group's places."""
        fine, coarse = self.teacher(images)
        seen = [coarse, F.avg_pool2d(fine, 2)]
        x = self.bottleneck(torch.cat(seen, dim=1).flatten(2).transpose(1, 2))
        made = []
        for half, head in zip(self.halves, self.heads, strict=True):
            x = half(x)
            made.append(head(x).transpose(1, 2).unflatten(2, coarse.shape[2:]))
        return seen, made

    def _loss(self, images: Tensor) -> Tensor:
        """1 - cosine of whole slices' features, in which places that are well drawn have little of a say."""
        total = images.new_zeros(())
        for seen, made in zip(*self._features(images), strict=True):
            gaps = 1 - F.cosine_similarity(seen, made.detach(), dim=1)[:, None]
            easy = (gaps < gaps.quantile(EASY)).float()
            if made.requires_grad:
                made.register_hook(lambda grad, easy=easy: grad * (1 - (1 - SLOW) * easy))
            total = total + (1 - F.cosine_similarity(seen.flatten(1), made.flatten(1), dim=1)).mean()
        return total

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The mean of the highest hundredth of the blurred map, as in the paper."""
        maps = in_batches(slices, self._map, self.size.device)
        return highest(maps), maps

    def _map(self, images: Tensor) -> Tensor:
        gaps = [1 - F.cosine_similarity(a, b, dim=1) for a, b in zip(*self._features(images), strict=True)]
        mean = torch.stack(gaps, dim=1).mean(dim=1, keepdim=True)
        return smoothed(F.interpolate(mean, size=images.shape[2:], mode="bilinear"), 1.0)[:, 0]
