"""Sine-cosine positions of patches, and the embedding that both networks share."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from maescan.config import ModelConfig


def sincos_positions(dim: int, grid: int) -> Tensor:
    """Fixed positions [1, 1 + grid * grid, dim]: zeros for the class token, then the patches row by row.

    As He et al.: the first half of a vector encodes the column, the second the row; each half is dim / 4 sines
    and dim / 4 cosines of geometrically spaced frequencies. `dim` must be a multiple of 4.
    """
    frequencies = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    one = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = one[None].expand(grid, grid, -1)
    rows = one[:, None].expand(grid, grid, -1)
    patches = torch.cat([columns, rows], dim=2).reshape(grid * grid, dim)
    return torch.cat([torch.zeros(1, dim), patches.float()])[None]


def transformer(dim: int, depth: int, heads: int, mlp_ratio: float, drop_path: float = 0.0) -> nn.ModuleList:
    """`depth` pre-norm blocks; the drop-path rate grows linearly from 0 to `drop_path`."""
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    norm: Any = partial(nn.LayerNorm, eps=1e-6)
    return nn.ModuleList(
        Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=norm, drop_path=rate) for rate in rates
    )


class PatchEmbed(nn.Module):
    """A linear map of flattened patches [N, K, P*P] -> [N, K, D], kept as the convolution of public checkpoints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.encoder_dim, config.patch_size, config.patch_size)

    def forward(self, patches: Tensor) -> Tensor:
        return nn.functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def initialise(model: nn.Module) -> None:
    """He et al.: linear maps (the patch embedding too) Xavier-uniform, biases 0, class and mask token N(0, 0.02)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.data.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith(("cls_token", "mask_token")):
            nn.init.normal_(parameter, std=0.02)
