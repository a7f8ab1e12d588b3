"""The judge: a small convolutional network that gives each token of a slice a logit of being abnormal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.config import JudgeTraining, ModelConfig

CHANNELS = 9
"""Pictures that the judge sees: the difference, its size and the logarithm of that, the passes' spread, the slice,
its prediction, the logarithm of the steps between their pixels, the set."""
HIDEABLE = 4  # the pictures from here on can be hidden, but for the set
SMALL, CLIP = 1e-2, 12.0


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the first takes every `stride`th pixel."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels_out) for _ in range(2))
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, stride, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] -> [B, C', H / stride, W / stride]."""
        changed = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        added: Tensor = F.relu(self.shortcut(x) + changed)
        return added


class Judge(nn.Module):
    """Features of tokens (see `method.judge.judge_features`) -> logits. Tokens are put back where they lie, so that
    an edge or a grain looks the same wherever a patch ends; stages of half the side each lead to a pixel a patch,
    `dim` wide, and `depth` blocks and the mean over the set decide there.

    In training the slice itself and its prediction can be hidden in a share of the pairs, `image_dropout`; a batch is
    slices with anomalies, then the same without.

    B slices, T tokens of the set, P the patch side.
    """

    def __init__(self, config: ModelConfig, judge: JudgeTraining) -> None:
        super().__init__()
        self.config, self.dropout = config, judge.image_dropout
        strides, widths = zip(*judge.stages(config.patch_size), strict=True)
        self.scale = nn.BatchNorm2d(CHANNELS - 1, affine=False)
        self.stem = nn.Conv2d(CHANNELS, widths[0], 3, strides[0], 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        stages = zip(widths[:-1], widths[1:], strides[1:], strict=True)
        deep = (Residual(judge.dim, judge.dim) for _ in range(judge.depth))
        self.blocks = nn.Sequential(*(Residual(*stage) for stage in stages), *deep)
        self.mix = nn.Linear(2 * judge.dim, judge.dim)
        self.head = nn.Linear(judge.dim, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, features: Tensor, token_ids: Tensor) -> Tensor:
        """Logits [B, T] of features [B, T, ModelConfig.judge_features] that stand at token_ids [B, T] of the grid. A
        token that is given twice counts once."""
        ids = token_ids.long()[..., None]
        pictures = self.shown(self.pictures(features, ids))
        x = self.blocks(F.relu(self.norm(self.stem(pictures)))).flatten(2).transpose(1, 2)
        patch = self.config.patch_size
        inside = pictures[:, -1, ::patch, ::patch].flatten(1)[..., None]
        whole = (x * inside).sum(dim=1, keepdim=True) / inside.sum(dim=1, keepdim=True)
        own = x.gather(1, ids.expand(-1, -1, x.shape[2]))
        logits: Tensor = self.head(F.relu(self.mix(torch.cat([own, whole.expand_as(own)], dim=2))))[..., 0]
        return logits

    def pictures(self, features: Tensor, ids: Tensor) -> Tensor:
        """[B, CHANNELS, H, W] of features at ids [B, T, 1]; all are 0 outside the set, the last is 1 inside."""
        grid, side, pixels = self.config.grid, self.config.patch_size, self.config.patch_pixels
        difference, spread, image = features[..., : 3 * pixels].unflatten(2, (3, pixels)).unbind(dim=2)
        tokens = torch.cat([difference, spread, image, 0 * image + 1], dim=2)
        empty = (0 * tokens[:, :1]).repeat(1, grid * grid, 1)
        cells = empty.scatter(1, ids.expand_as(tokens), tokens).unflatten(2, (4, side, side))
        squares = cells.unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        d, spread, image, inside = squares.split(1, dim=1)
        looks = (image, image - d, log_steps(image), log_steps(image - d))
        return torch.cat([d, d.abs(), torch.log(d.abs() + SMALL), spread, *looks, inside], dim=1)

    def shown(self, pictures: Tensor) -> Tensor:
        """Pictures on a like scale; in training without the slice and its prediction in a share of the pairs."""
        values, inside = pictures[:, :-1], pictures[:, -1:]
        scaled = self.scale(values).clamp(-CLIP, CLIP) * inside
        if self.training and self.dropout:
            pairs = inside[: len(inside) // 2, :, :1, :1]
            seen = (torch.rand_like(pairs) >= self.dropout).to(scaled.dtype).repeat(2, 1, 1, 1)
            scaled = torch.cat([scaled[:, :HIDEABLE], scaled[:, HIDEABLE:] * seen], dim=1)
        return torch.cat([scaled, inside], dim=1)


def log_steps(pictures: Tensor) -> Tensor:
    """The logarithm [B, C, H, W] of the steps from each pixel of pictures [B, C, H, W] to the next two: what is flat
    or blurred is as far from usual tissue as what is coarse."""
    down = torch.cat([pictures[:, :, 1:], 0 * pictures[:, :, :1]], dim=2) - pictures
    right = torch.cat([pictures[..., 1:], 0 * pictures[..., :1]], dim=3) - pictures
    return torch.log(down.abs() + right.abs() + SMALL)
