"""The networks as scoring needs them: without operations whose results nobody reads. The same scores, 2.6 % fewer
operations for ViT-Base."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from maescan.models.classifier import abnormal


class Attention(nn.Module):
    """timm's self-attention, with projections that are known or queries that are fewer than its tokens."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.num_heads, self.scale = attention.num_heads, attention.scale
        self.head_dim = attention.qkv.in_features // attention.num_heads

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        return self.attend(self.qkv(x), 0)

    def attend(self, qkv: Tensor, first: int) -> Tensor:
        """qkv [N, S, 3 * D] -> the answers [N, S - first, D] to tokens `first` and on."""
        n, tokens, _ = qkv.shape
        q, k, v = qkv.reshape(n, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(self.product(q[:, :, first:], k, v).transpose(1, 2).flatten(2))

    def product(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)


class LeanMae(nn.Module):
    """A MaskedAutoencoder whose predictions of visible tokens, which pasting replaces, are 0.

    Mask tokens meet the decoder's first block as rows of a table, since only their position tells them apart, and its
    last block answers for hidden tokens only.
    """

    hidden: Tensor
    hidden_qkv: Tensor

    def __init__(self, mae: Any) -> None:
        super().__init__()
        shared = {id(weight): weight for weight in (*mae.parameters(), *mae.buffers())}
        self.mae = mae = copy.deepcopy(mae, shared)  # the model that is given keeps its blocks
        for block in {mae.decoder_blocks[0], mae.decoder_blocks[-1]}:
            block.attn = Attention(block.attn)
        first = mae.decoder_blocks[0]
        with torch.no_grad():
            self.register_buffer("hidden", (mae.mask_token + mae.decoder_pos_embed[:, 1:])[0])
            self.register_buffer("hidden_qkv", first.attn.qkv(first.norm1(self.hidden)))

    def forward(self, visible: Tensor, token_ids: Tensor, keep_ids: Tensor, restore_ids: Tensor) -> Tensor:
        """As MaskedAutoencoder's."""
        x = self.predict(visible, token_ids, keep_ids, restore_ids.argsort(dim=1)[:, visible.shape[1] :])
        x = torch.cat([torch.zeros_like(visible), x], dim=1)
        return torch.gather(x, 1, restore_ids.long()[:, :, None].expand(-1, -1, x.shape[2]))

    def predict(self, visible: Tensor, token_ids: Tensor, keep_ids: Tensor, hidden_ids: Tensor) -> Tensor:
        """Predictions [N, T-K, P*P] of the hidden tokens hidden_ids [N, T-K], places in the set."""
        mae, ids = self.mae, token_ids.long()
        kept = torch.gather(ids, 1, keep_ids.long())
        hidden = torch.gather(ids, 1, hidden_ids.long())
        seen = mae.decoder_embed(mae.encode(visible, kept))
        positions = mae.decoder_pos_embed[0, 1:][kept]
        seen = seen + torch.cat([mae.decoder_pos_embed[:, :1].expand(seen.shape[0], -1, -1), positions], dim=1)
        first, *others = mae.decoder_blocks
        last = mae.decoder_blocks[-1]
        x = torch.cat([seen, self.hidden[hidden]], dim=1)
        qkv = torch.cat([first.attn.qkv(first.norm1(seen)), self.hidden_qkv[hidden]], dim=1)
        if others:
            x = x + first.attn.attend(qkv, 0)
            x = x + first.mlp(first.norm2(x))
            for block in others[:-1]:
                x = block(x)
            qkv = last.attn.qkv(last.norm1(x))
        x = x[:, seen.shape[1] :] + last.attn.attend(qkv, seen.shape[1])
        return mae.decoder_pred(mae.decoder_norm(x + last.mlp(last.norm2(x))))


class HiddenMae(LeanMae):
    """A LeanMae that is told which tokens are hidden, and answers for those alone: nothing is sorted."""

    def forward(self, visible: Tensor, token_ids: Tensor, keep_ids: Tensor, hidden_ids: Tensor) -> Tensor:
        """As `predict`."""
        return self.predict(visible, token_ids, keep_ids, hidden_ids)


class Scores(nn.Module):
    """The classifier with its softmax: patches [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal.

    The mean over tokens goes before the last block's last linear map instead of behind it. The map is a part of the
    head then, and as the head kept out of int8 (export/quantise.py): for one row that costs nothing.
    """

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        self.head_map = copy.deepcopy(classifier.blocks[-1].mlp.fc2)

    def forward(self, patches: Tensor, token_ids: Tensor) -> Tensor:
        x = self.classifier.embed(patches, token_ids)
        *others, last = self.classifier.blocks
        for block in others:
            x = block(x)
        x = (x + last.attn(last.norm1(x)))[:, 1:]
        mean = x.mean(dim=1) + self.head_map(last.mlp.act(last.mlp.fc1(last.norm2(x))).mean(dim=1))
        return abnormal(self.classifier.head(self.classifier.fc_norm(mean)))
