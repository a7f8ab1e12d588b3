"""The networks of He et al. (2022), Vaswani et al. (2017) and Dosovitskiy et al. (2021), written out by hand."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maescan.config import ModelConfig

Floats = NDArray[np.float64]
Weights = dict[str, Floats]

SMALL = ModelConfig(32, 8, 48, 3, 4, 32, 2, 2)


def weights(model: nn.Module) -> Weights:
    return {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}


def norm(x: Floats, w: Weights, name: str) -> Floats:
    centred: Floats = x - x.mean(-1, keepdims=True)
    scaled: Floats = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return scaled * w[name + ".weight"] + w[name + ".bias"]


def linear(x: Floats, w: Weights, name: str) -> Floats:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def gelu(x: Floats) -> Floats:
    return np.asarray(0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def attention(x: Floats, w: Weights, name: str, heads: int) -> Floats:
    n, length, dim = x.shape
    q, k, v = linear(x, w, name + ".qkv").reshape(n, length, 3, heads, dim // heads).transpose(2, 0, 3, 1, 4)
    logits = np.exp(q @ k.swapaxes(2, 3) / math.sqrt(dim // heads))
    mixed = (logits / logits.sum(-1, keepdims=True)) @ v
    return linear(mixed.transpose(0, 2, 1, 3).reshape(n, length, dim), w, name + ".proj")


def transformer(x: Floats, w: Weights, name: str, depth: int, heads: int) -> Floats:
    for i in range(depth):
        block = f"{name}.{i}"
        x = x + attention(norm(x, w, block + ".norm1"), w, block + ".attn", heads)
        x = x + linear(gelu(linear(norm(x, w, block + ".norm2"), w, block + ".mlp.fc1")), w, block + ".mlp.fc2")
    return x


def positions(dim: int, row: int, column: int) -> Floats:
    """One patch's code, number by number."""
    code: list[float] = []
    for place in (column, row):
        angles = [place / 10000 ** (i / (dim // 4)) for i in range(dim // 4)]
        code += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return np.array(code)


def mae_by_hand(w: Weights, config: ModelConfig, patches: Floats, noise: Floats, keep: int) -> Floats:
    """He et al., section 3: shuffle by noise, encode the first `keep`, append mask tokens, unshuffle, decode."""
    rows, everything, d = [], range(config.tokens), config
    place = {
        dim: np.array([positions(dim, *divmod(t, d.grid)) for t in everything])
        for dim in (d.encoder_dim, d.decoder_dim)
    }
    kernel = w["patch_embed.proj.weight"].reshape(d.encoder_dim, -1)
    for n, slice_patches in enumerate(patches):
        shuffle = np.argsort(noise[n])
        tokens = slice_patches @ kernel.T + w["patch_embed.proj.bias"] + place[d.encoder_dim]
        x = np.concatenate([w["cls_token"][0], tokens[shuffle[:keep]]])[None]
        x = norm(transformer(x, w, "blocks", d.encoder_depth, d.encoder_heads), w, "norm")
        x = linear(x, w, "decoder_embed")[0]
        full = np.repeat(w["mask_token"][0], d.tokens, axis=0)
        full[shuffle[:keep]] = x[1:]
        x = np.concatenate([x[:1], full + place[d.decoder_dim]])[None]
        x = norm(transformer(x, w, "decoder_blocks", d.decoder_depth, d.decoder_heads), w, "decoder_norm")
        rows.append(linear(x, w, "decoder_pred")[0, 1:])
    return np.array(rows)


def batch(
    tokens: int, keep: int, pixels: int, rows: int = 3, seed: int = 0
) -> tuple[Floats, Floats, tuple[torch.Tensor, ...]]:
    rng = np.random.default_rng(seed)
    patches, noise = rng.random((rows, tokens, pixels)), rng.random((rows, tokens))
    shuffle = torch.from_numpy(np.argsort(noise, axis=1).astype(np.int32))
    restore = torch.from_numpy(np.argsort(np.argsort(noise, axis=1), axis=1).astype(np.int32))
    visible = torch.gather(torch.from_numpy(patches), 1, shuffle[:, :keep, None].long().expand(-1, -1, pixels))
    ids = torch.arange(tokens, dtype=torch.int32).expand(rows, -1)
    return patches, noise, (visible.float(), ids, shuffle[:, :keep], restore)
