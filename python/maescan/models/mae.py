"""The masked autoencoder (paper, section 3.2; He et al., 2022) over any set of a slice's tokens."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from maescan.config import ModelConfig
from maescan.models.positions import PatchEmbed, initialise, sincos_positions, transformer


class MaskedAutoencoder(nn.Module):
    """The encoder sees the visible tokens only; the decoder predicts the pixels of every token of the set.

    N rows (slice and pass), T tokens of the set, K visible ones, P the patch side. Parameter names are those of
    public checkpoints.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, norm = config, partial(nn.LayerNorm, eps=1e-6)
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.encoder_dim))
        self.pos_embed = nn.Parameter(sincos_positions(c.encoder_dim, c.grid), requires_grad=False)
        self.patch_embed = PatchEmbed(c)
        self.blocks = transformer(c.encoder_dim, c.encoder_depth, c.encoder_heads, c.mlp_ratio)
        self.norm = norm(c.encoder_dim)
        self.decoder_embed = nn.Linear(c.encoder_dim, c.decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, c.decoder_dim))
        self.decoder_pos_embed = nn.Parameter(sincos_positions(c.decoder_dim, c.grid), requires_grad=False)
        self.decoder_blocks = transformer(c.decoder_dim, c.decoder_depth, c.decoder_heads, c.mlp_ratio)
        self.decoder_norm = norm(c.decoder_dim)
        self.decoder_pred = nn.Linear(c.decoder_dim, c.patch_pixels)
        initialise(self)

    def forward(self, visible: Tensor, token_ids: Tensor, keep_ids: Tensor, restore_ids: Tensor) -> Tensor:
        """Pixels [N, T, P*P] of all tokens.

        visible [N, K, P*P]: pixels of the visible tokens; token_ids [N, T]: the set, as patch numbers of the grid;
        keep_ids [N, K]: the visible tokens, as places in the set; restore_ids [N, T]: where each token of the set
        stands after shuffling, visible ones first.
        """
        return self.decode(
            self.encode(visible, torch.gather(token_ids.long(), 1, keep_ids.long())), token_ids, restore_ids
        )

    def encode(self, visible: Tensor, ids: Tensor) -> Tensor:
        """visible [N, K, P*P] at grid patches ids [N, K] -> latent [N, 1 + K, D], the class token first."""
        x = self.patch_embed(visible) + self.pos_embed[0, 1:][ids]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([cls, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def decode(self, latent: Tensor, token_ids: Tensor, restore_ids: Tensor) -> Tensor:
        """latent [N, 1 + K, D] -> predictions [N, T, P*P]: mask tokens stand in for what the encoder did not see."""
        x = self.decoder_embed(latent)
        cls, x = x[:, :1], x[:, 1:]
        hidden = restore_ids.shape[1] - x.shape[1]
        x = torch.cat([x, self.mask_token.to(x.dtype).expand(x.shape[0], hidden, -1)], dim=1)
        x = torch.gather(x, 1, restore_ids.long()[:, :, None].expand(-1, -1, x.shape[2]))
        x = x + self.decoder_pos_embed[0, 1:][token_ids.long()]
        x = torch.cat([cls + self.decoder_pos_embed[:, :1], x], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]

    def loss(
        self,
        predictions: Tensor,
        patches: Tensor,
        restore_ids: Tensor,
        keep: int,
        on: Literal["masked", "all"] = "masked",
    ) -> Tensor:
        """Eq. 1 per pixel: the squared error of predictions [N, T, P*P], averaged over each patch's pixels (as He et
        al.'s code) and then over the hidden tokens, or over all tokens (section 4.5)."""
        error = (predictions.float() - patches.float()).square().mean(dim=2)
        if on == "all":
            return error.mean()
        hidden = (restore_ids >= keep).to(error.dtype)
        return (error * hidden).sum() / hidden.sum()
