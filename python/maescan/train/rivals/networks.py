"""Small convolutional networks that several rivals are made of. Slices are [B, 1, H, W], H and W multiples of 16."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def block(inward: int, outward: int, *, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, group norm and SiLU."""
    convolution = nn.Conv2d(inward, outward, 3, stride, 1)
    return nn.Sequential(convolution, nn.GroupNorm(min(8, outward // 2), outward), nn.SiLU())


def down(inward: int, width: int, levels: int) -> nn.Sequential:
    """Halves the sides `levels` times: [B, inward, H, W] -> [B, width * 2^(levels - 1), H / 2^levels, ...]."""
    widths = [inward, *(width * 2**i for i in range(levels))]
    return nn.Sequential(*(block(a, b, stride=2) for a, b in itertools.pairwise(widths)))


def up(inward: int, width: int, levels: int, outward: int = 1) -> nn.Sequential:
    """The other way: doubles the sides `levels` times, ends in `outward` channels."""
    widths = [inward, *(width * 2**i for i in reversed(range(levels)))]
    parts = [part for a, b in itertools.pairwise(widths) for part in (nn.Upsample(scale_factor=2.0), block(a, b))]
    return nn.Sequential(*parts, nn.Conv2d(width, outward, 3, 1, 1))


class UNet(nn.Module):
    """[B, inward, H, W] -> [B, outward, H, W]: three halvings, skips between equal sides."""

    def __init__(self, inward: int, outward: int, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.first = block(inward, width)
        self.downs = nn.ModuleList(
            nn.Sequential(block(a, b, stride=2), block(b, b)) for a, b in itertools.pairwise(widths)
        )
        self.ups = nn.ModuleList(
            block(a + b, a) for a, b in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True)
        )
        self.last = nn.Conv2d(width, outward, 1)

    def forward(self, images: Tensor) -> Tensor:
        """As the class says."""
        seen = [self.first(images)]
        for part in self.downs:
            seen.append(part(seen[-1]))
        x = seen.pop()
        for part in self.ups:
            skip = seen.pop()
            x = part(torch.cat([F.interpolate(x, size=skip.shape[2:]), skip], dim=1))
        answer: Tensor = self.last(x)
        return answer
