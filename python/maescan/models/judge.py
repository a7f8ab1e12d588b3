"""The judge: a small ViT that gives each token of a slice a logit of being abnormal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maescan.config import JudgeTraining, ModelConfig
from maescan.models.positions import initialise, sincos_positions, transformer

RESIDUAL, IMAGE = 12, 6
"""Statistics of a token's differences and of its prediction, and of its own pixels."""
SMALL, CLIP = 1e-3, 6.0


class Judge(nn.Module):
    """Features of tokens (see `method.judge.judge_features`) -> logits. It sees statistics of each token rather than
    its pixels, each as it is and against its slice's mean and its neighbours': a few hundred scans do not teach more.

    In training the statistics of the image itself are hidden in a share of the slices, `image_dropout`: what a patch
    looks like is easily learnt by heart, and the differences are what carries over to other scanners.

    B slices, T tokens of the set, P the patch side.
    """

    def __init__(self, config: ModelConfig, judge: JudgeTraining) -> None:
        super().__init__()
        self.config, self.pixels, self.dropout = config, config.patch_pixels, judge.image_dropout
        self.pos_embed = nn.Parameter(sincos_positions(judge.dim, config.grid)[:, 1:], requires_grad=False)
        self.usual = nn.Sequential(nn.Linear(4, 32), nn.GELU(), nn.Linear(32, 1))
        self.scale = nn.BatchNorm1d(3 * (RESIDUAL + IMAGE))
        self.embed = nn.Sequential(
            nn.Linear(3 * (RESIDUAL + IMAGE) + 1, 2 * judge.dim), nn.GELU(), nn.Linear(2 * judge.dim, judge.dim)
        )
        self.blocks = transformer(judge.dim, judge.depth, judge.heads, config.mlp_ratio, judge.drop_path)
        self.norm = nn.LayerNorm(judge.dim, eps=1e-6)
        self.head = nn.Linear(judge.dim, 1)
        initialise(self)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, features: Tensor, token_ids: Tensor) -> Tensor:
        """Logits [B, T] of features [B, T, ModelConfig.judge_features] that stand at token_ids [B, T] of the grid;
        in training also what `expected` says of them, [B, 2, T] together."""
        expected = self.expected(features)
        x = self.tokens(features, token_ids, expected.detach()) + self.pos_embed[0][token_ids.long()]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))[..., 0]
        answers: Tensor = torch.stack([logits, expected[..., 0]], dim=1) if self.training else logits
        return answers

    def expected(self, features: Tensor) -> Tensor:
        """The logarithm [B, T, 1] of the mean absolute difference that a token usually has where predictions look
        and spread so."""
        spread = features[..., self.pixels : 2 * self.pixels].mean(dim=2, keepdim=True)
        size: Tensor = self.usual(torch.cat([features[..., -3:], spread], dim=2))
        return size.clamp(-6, 3)

    def tokens(self, features: Tensor, token_ids: Tensor, expected: Tensor) -> Tensor:
        """Embedded statistics [B, T, D] of tokens."""
        own = self.statistics(features, expected)
        whole = own.mean(dim=1, keepdim=True)
        every = torch.cat([own, own - whole, own - self.around(own, token_ids)], dim=2)
        scaled = self.scale(every.transpose(1, 2)).transpose(1, 2).clamp(-CLIP, CLIP)
        shown = 0 * scaled[..., :1] + 1
        if self.training and self.dropout:
            shown = shown * (torch.rand_like(shown[:, :1]) >= self.dropout)
        parts = [part for group in scaled.split(RESIDUAL + IMAGE, dim=2) for part in (
            group[..., :RESIDUAL], group[..., RESIDUAL:] * shown)]  # fmt: skip
        embedded: Tensor = self.embed(torch.cat([*parts, shown], dim=2))
        return embedded

    def statistics(self, features: Tensor, expected: Tensor) -> Tensor:
        """RESIDUAL + IMAGE numbers of each token [B, T]."""
        difference, spread = features[..., : self.pixels], features[..., self.pixels : 2 * self.pixels]
        image = features[..., 2 * self.pixels : 3 * self.pixels]
        seen = image - difference
        size = torch.log(difference.abs().mean(dim=2, keepdim=True) + SMALL)
        residual = [
            *(size, size - expected, difference.mean(dim=2, keepdim=True)),
            torch.log(difference.abs().amax(dim=2, keepdim=True) + SMALL),
            *(torch.log(part + SMALL) for part in self.grain(difference)),
            torch.log(spread.mean(dim=2, keepdim=True) + SMALL),
            seen.mean(dim=2, keepdim=True),
            *(torch.log(part + SMALL) for part in self.grain(seen)),
        ]
        own = [
            *(image.mean(dim=2, keepdim=True), image.amax(dim=2, keepdim=True), image.amin(dim=2, keepdim=True)),
            *(torch.log(part + SMALL) for part in self.grain(image)),
        ]
        return torch.cat([*residual, *own], dim=2)

    def grain(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Deviation, step from pixel to pixel and bend over three pixels [B, T, 1] of pixels [B, T, P * P]."""
        side = self.config.patch_size
        square = pixels.unflatten(2, (side, side))
        middle = (pixels - pixels.mean(dim=2, keepdim=True)).square().mean(dim=2, keepdim=True).sqrt()
        steps = square[..., 1:, :] - square[..., :-1, :], square[..., 1:] - square[..., :-1]
        bends = steps[0][..., 1:, :] - steps[0][..., :-1, :], steps[1][..., 1:] - steps[1][..., :-1]
        step, bend = (
            (a.abs().flatten(2).mean(dim=2, keepdim=True) + b.abs().flatten(2).mean(dim=2, keepdim=True)) / 2
            for a, b in (steps, bends)
        )
        return middle, step, bend

    def around(self, values: Tensor, token_ids: Tensor) -> Tensor:
        """The mean of values [B, T, C] over the tokens of the set within a patch of each, itself counted."""
        grid, count = self.config.grid, values.shape[2]
        ids = token_ids.long()[..., None].expand(-1, -1, count + 1)
        counted = torch.cat([values, 0 * values[..., :1] + 1], dim=2)
        cells = (0 * counted[:, :1]).repeat(1, grid * grid, 1).scatter(1, ids, counted)
        squares = cells.transpose(1, 2).unflatten(2, (grid, grid))
        means = nn.functional.avg_pool2d(squares, 3, 1, 1).flatten(2).transpose(1, 2).gather(1, ids)
        return means[..., :-1] / means[..., -1:].clamp(min=1e-6)
