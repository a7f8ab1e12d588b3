"""The anomaly classifier (paper, section 3.4): a ViT over the patches of a difference map."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from maescan.config import ModelConfig
from maescan.models.positions import PatchEmbed, initialise, sincos_positions, transformer

ABNORMAL, NORMAL = 0, 1


def abnormal(logits: Tensor) -> Tensor:
    """The probability [B] of logits [B, 2] that a slice is abnormal."""
    return logits.float().softmax(dim=1)[:, ABNORMAL]


class Classifier(nn.Module):
    """Two outputs: 0 is abnormal, 1 is normal. Averages the patch tokens, then `fc_norm`, then `head`.

    B slices, T tokens of the set, P the patch side. Parameter names are those of public checkpoints.
    """

    def __init__(self, config: ModelConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        c = self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.encoder_dim))
        self.pos_embed = nn.Parameter(sincos_positions(c.encoder_dim, c.grid))
        self.patch_embed = PatchEmbed(c)
        self.blocks = transformer(c.encoder_dim, c.encoder_depth, c.encoder_heads, c.mlp_ratio, drop_path)
        self.fc_norm = nn.LayerNorm(c.encoder_dim, eps=1e-6)
        self.head = nn.Linear(c.encoder_dim, 2)
        initialise(self)
        nn.init.trunc_normal_(self.head.weight, std=2e-5)

    def forward(self, patches: Tensor, token_ids: Tensor) -> Tensor:
        """Logits [B, 2] of patches [B, T, P*P] that stand at token_ids [B, T] of the grid."""
        x = self.embed(patches, token_ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x[:, 1:].mean(dim=1)))

    def embed(self, patches: Tensor, token_ids: Tensor) -> Tensor:
        """The tokens [B, 1 + T, D] that the blocks are given, the class token first."""
        # not indexed: threads would add up the positions' gradient in any order, and no run would be another's bytes
        x = self.patch_embed(patches) + nn.functional.embedding(token_ids.long(), self.pos_embed[0, 1:])
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        return torch.cat([cls, x], dim=1)

    def score(self, patches: Tensor, token_ids: Tensor) -> Tensor:
        """The probability [B] that a slice is abnormal."""
        return abnormal(self(patches, token_ids))

    def start_from(self, encoder: Mapping[str, Tensor]) -> None:
        """Takes what the two networks share from the state of a MaskedAutoencoder; `fc_norm` and `head` stay."""
        own = self.state_dict()
        self.load_state_dict({**own, **{name: encoder[name] for name in own if name in encoder}})
