"""The judge: a small ViT that gives each token of a slice a logit of being abnormal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maescan.config import JudgeTraining, ModelConfig
from maescan.models.positions import initialise, sincos_positions, transformer

CLIP, SUMMARY = 12.0, 8


class Judge(nn.Module):
    """Features of tokens (see `method.judge.judge_features`) -> logits. Differences and their spread are divided by
    the size that differences usually have where a prediction looks so (`expected`), learned beside the logits.

    B slices, T tokens of the set, P the patch side.
    """

    def __init__(self, config: ModelConfig, judge: JudgeTraining) -> None:
        super().__init__()
        self.config, self.pixels = config, config.patch_pixels
        look = config.judge_features - 2 * self.pixels
        self.pos_embed = nn.Parameter(sincos_positions(judge.dim, config.grid)[:, 1:], requires_grad=False)
        self.usual = nn.Sequential(nn.Linear(look + 1, 32), nn.GELU(), nn.Linear(32, 1))
        self.patch_embed = nn.Linear(3 * self.pixels, judge.dim)
        self.summary_embed = nn.Sequential(
            nn.Linear(SUMMARY + look + 1, judge.dim), nn.GELU(), nn.Linear(judge.dim, judge.dim)
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
        logits = self.judge(features, token_ids, expected.detach())
        answers: Tensor = torch.stack([logits, expected[..., 0]], dim=1) if self.training else logits
        return answers

    def expected(self, features: Tensor) -> Tensor:
        """The logarithm [B, T, 1] of the mean absolute difference that a token usually has."""
        spread = features[..., self.pixels : 2 * self.pixels].mean(dim=2, keepdim=True)
        size: Tensor = self.usual(torch.cat([features[..., 2 * self.pixels :], spread], dim=2))
        return size.clamp(-6, 3)

    def judge(self, features: Tensor, token_ids: Tensor, expected: Tensor) -> Tensor:
        """Logits [B, T], the differences being in units of exp(expected [B, T, 1])."""
        scale = torch.exp(-expected)
        difference = features[..., : self.pixels] * scale
        spread = features[..., self.pixels : 2 * self.pixels] * scale
        look = features[..., 2 * self.pixels :]
        pixels = torch.cat([difference, difference.abs(), spread], dim=2).clamp(-CLIP, CLIP)
        summary = torch.cat([self.summary(difference, spread), look, expected], dim=2).clamp(-CLIP, CLIP)
        x = self.patch_embed(pixels) + self.summary_embed(summary)
        x = x + self.pos_embed[0][token_ids.long()]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits[..., 0]

    def summary(self, difference: Tensor, spread: Tensor) -> Tensor:
        """SUMMARY numbers of each token: mean and mean size of its differences, the largest, their step from pixel to
        pixel (little where texture is missing), and their spread over the passes; sizes also as logarithms."""
        side = self.config.patch_size
        square = difference.unflatten(2, (side, side))
        steps = [(square[..., 1:, :] - square[..., :-1, :]), (square[..., 1:] - square[..., :-1])]
        step = sum(part.abs().flatten(2).mean(dim=2, keepdim=True) for part in steps) / 2
        size = difference.abs().mean(dim=2, keepdim=True)
        sizes = torch.cat([size, step, spread.mean(dim=2, keepdim=True)], dim=2)
        others = [difference.mean(dim=2, keepdim=True), difference.abs().amax(dim=2, keepdim=True)]
        return torch.cat([*others, sizes, torch.log(sizes + 1e-3)], dim=2)
