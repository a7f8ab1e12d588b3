"""The authors' two networks in plain torch, from what is known of them: pre-norm transformers with a class token,
fixed sine-cosine positions, one input channel. Written anew to compare with, with the names of their files."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-6


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, dim = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        found: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(n, t, dim))
        return found


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return found


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=EPS), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=EPS), Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        middle: Tensor = x + self.attn(self.norm1(x))
        found: Tensor = middle + self.mlp(self.norm2(middle))
        return found


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return found


def positions(dim: int, grid: int) -> Tensor:
    """[1, 1 + grid * grid, dim]: column, then row; sines, then cosines."""
    found = torch.zeros(1 + grid * grid, dim, dtype=torch.float64)
    for row in range(grid):
        for column in range(grid):
            for half, place in enumerate((column, row)):
                for i in range(dim // 4):
                    angle = torch.tensor(place / 10000 ** (i / (dim // 4)), dtype=torch.float64)
                    found[1 + row * grid + column, half * dim // 2 + i] = angle.sin()
                    found[1 + row * grid + column, half * dim // 2 + dim // 4 + i] = angle.cos()
    return found.float()[None]


class OfficialMae(nn.Module):
    """Images [N, 1, H, W] and which patches are kept -> reconstruction with the visible patches pasted [N, H, W]."""

    def __init__(
        self, size: int, patch: int, dim: int, depth: int, heads: int, decoder: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.patch, self.grid = patch, size // patch
        wide, deep, many = decoder
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.mask_token = nn.Parameter(torch.randn(1, 1, wide) * 0.02)
        self.pos_embed = nn.Parameter(positions(dim, self.grid), requires_grad=False)
        self.decoder_pos_embed = nn.Parameter(positions(wide, self.grid), requires_grad=False)
        self.patch_embed = PatchEmbed(patch, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm, self.decoder_norm = nn.LayerNorm(dim, eps=EPS), nn.LayerNorm(wide, eps=EPS)
        self.decoder_embed, self.decoder_pred = nn.Linear(dim, wide), nn.Linear(wide, patch * patch)
        self.decoder_blocks = nn.ModuleList(Block(wide, many) for _ in range(deep))

    def forward(self, images: Tensor, keep: Tensor) -> Tensor:
        """keep [N, K]: patch numbers."""
        n, count = len(images), self.grid**2
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        x = torch.stack([row[ids] for row, ids in zip(x, keep, strict=True)])
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(n, -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_embed(self.norm(x))
        full = self.mask_token.expand(n, count, -1).clone()
        visible = torch.zeros(n, count, dtype=torch.bool)
        for i, ids in enumerate(keep):
            full[i, ids], visible[i, ids] = x[i, 1:], True
        x = torch.cat([x[:, :1], full], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        patches = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        side, p = self.grid, self.patch
        whole = patches.reshape(n, side, side, p, p).permute(0, 1, 3, 2, 4).reshape(n, side * p, side * p)
        seen = visible.reshape(n, side, 1, side, 1).expand(-1, -1, p, -1, p).reshape(n, side * p, side * p)
        return torch.where(seen, images[:, 0], whole)


class OfficialClassifier(nn.Module):
    """Images [N, 1, H, W] -> logits [N, 2]; the mean of the patch tokens decides."""

    def __init__(self, size: int, patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos_embed = nn.Parameter(positions(dim, size // patch))
        self.patch_embed = PatchEmbed(patch, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.fc_norm, self.head = nn.LayerNorm(dim, eps=EPS), nn.Linear(dim, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.fc_norm(x[:, 1:].mean(dim=1)))
        return logits
