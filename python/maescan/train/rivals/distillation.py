"""Students of a frozen teacher: RD4AD (Deng and Li, CVPR 2022) and AST (Rudolph et al., WACV 2023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.method.slices import SliceStore
from maescan.train.rivals.common import Floats, Size, drawn, in_batches, learn, smoothed
from maescan.train.rivals.features import ImageNetFeatures, RandomFeatures, features
from maescan.train.rivals.networks import block

SETTLED = 512
STEPS = 4  # coupling blocks of the flow


def settle(teacher: RandomFeatures | ImageNetFeatures, healthy: SliceStore, size: Size) -> None:
    """Sets the teacher's norms on healthy slices [N, H, W]."""
    which = np.unique(np.linspace(0, len(healthy) - 1, SETTLED).astype(int))
    teacher.settle(torch.from_numpy(np.asarray(healthy[which], np.float32)[:, None]).to(size.device))


class ReverseDistillation:
    """A student draws the teacher's features at both scales from a bottleneck of them; where it cannot, a slice is
    abnormal."""

    def __init__(self, size: Size) -> None:
        self.size, self.teacher = size, features(size)
        torch.manual_seed(size.seed)
        fine, coarse = self.teacher.channels
        self.fuse = nn.Sequential(block(fine + coarse, 256, stride=2), block(256, coarse)).to(size.device)
        self.coarse = nn.Sequential(
            nn.Upsample(scale_factor=2.0), block(coarse, coarse), nn.Conv2d(coarse, coarse, 1)
        )
        self.fine = nn.Sequential(nn.Upsample(scale_factor=2.0), block(coarse, fine), nn.Conv2d(fine, fine, 1))
        self.student = nn.ModuleList([self.fuse, self.coarse, self.fine]).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """The student on healthy slices, by the cosine at every place."""
        settle(self.teacher, healthy, self.size)
        steps = self.size.steps
        learn(self.student.parameters(), drawn(healthy, self.size), lambda x: self._gaps(x).mean(), steps)
        self.student.eval()

    def _gaps(self, images: Tensor) -> Tensor:
        """1 - cosine at both scales, summed, at the fine one [B, 1, h, w]."""
        fine, coarse = self.teacher(images)
        seen = torch.cat([F.avg_pool2d(fine, 2), coarse], dim=1)
        drawn_coarse = self.coarse(self.fuse(seen))
        gaps = [
            1 - F.cosine_similarity(a, b, dim=1)[:, None]
            for a, b in ((coarse, drawn_coarse), (fine, self.fine(drawn_coarse)))
        ]
        return gaps[1] + F.interpolate(gaps[0], size=fine.shape[2:], mode="bilinear")

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The highest of the blurred map."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.max(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        return smoothed(F.interpolate(self._gaps(images), size=images.shape[2:], mode="bilinear"), 1.0)[:, 0]


class Flow(nn.Module):
    """Affine couplings over feature maps [B, C, h, w]; each half of the channels is moved by what the other says."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = channels // 2
        self.parts = nn.ModuleList()
        for _ in range(STEPS):
            last = nn.Conv2d(width, 2 * half, 3, 1, 1, bias=False)
            nn.init.zeros_(last.weight)  # a flow that moves nothing, to begin with
            self.parts.append(nn.Sequential(block(half, width), last))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(the features moved, the logarithm of the volume's change [B, h, w])."""
        volume = torch.zeros_like(x[:, 0])
        for part in self.parts:
            kept, moved = x.chunk(2, dim=1)
            scale, shift = part(kept).chunk(2, dim=1)
            scale = 1.9 * torch.tanh(scale / 1.9)
            volume = volume + scale.sum(dim=1)
            x = torch.cat([moved * torch.exp(scale) + shift, kept], dim=1)
        return x, volume


class Ast:
    """The teacher is a normalising flow over features, the student a plain network that copies its answers on healthy
    slices; unlike each other, they part where a slice is abnormal."""

    def __init__(self, size: Size) -> None:
        self.size, self.backbone = size, features(size)
        torch.manual_seed(size.seed)
        channels, wide = self.backbone.channels[1], 8 * size.width
        self.flow = Flow(channels, wide).to(size.device)
        layers = [block(channels, wide), block(wide, wide), block(wide, wide), nn.Conv2d(wide, channels, 1)]
        self.student = nn.Sequential(*layers).to(size.device)

    def fit(self, healthy: SliceStore) -> None:
        """First the flow by likelihood, then the student by squared differences; half of the steps each."""
        settle(self.backbone, healthy, self.size)
        half = self.size.steps // 2
        batches = list(drawn(healthy, self.size))
        learn(self.flow.parameters(), batches[:half], self._likelihood, half)
        self.flow.eval()
        rest = batches[half:]
        learn(self.student.parameters(), rest, lambda images: self._gaps(images).mean(), len(rest))
        self.student.eval()

    def _likelihood(self, images: Tensor) -> Tensor:
        moved, volume = self.flow(self.backbone(images)[1])
        loss: Tensor = ((0.5 * moved.square().sum(dim=1) - volume) / moved.shape[1]).mean()
        return loss

    def _gaps(self, images: Tensor) -> Tensor:
        """Squared differences [B, 1, h, w] of teacher and student."""
        features = self.backbone(images)[1]
        with torch.no_grad():
            answers = self.flow(features)[0]
        gaps: Tensor = (self.student(features) - answers).square().mean(dim=1, keepdim=True)
        return gaps

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """The highest of the differences, as in the paper."""
        maps = in_batches(slices, self._map, self.size.device)
        return maps.max(axis=(1, 2)), maps

    def _map(self, images: Tensor) -> Tensor:
        return F.interpolate(self._gaps(images), size=images.shape[2:], mode="bilinear")[:, 0]
