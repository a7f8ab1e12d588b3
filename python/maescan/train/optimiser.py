"""AdamW, its parameter groups and its schedule (He et al.'s recipe)."""

from __future__ import annotations

import math

import torch
from torch import nn

from maescan.config.types import Json


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> list[Json]:
    """Groups by (layer, decayed or not): no decay on biases and norms, lr_scale = layer_decay ** layers above.

    With layer decay (the classifier) the class token and the positions have no weight decay either.
    """
    blocks: nn.ModuleList = model.blocks  # type: ignore[assignment]
    depth = len(blocks)
    groups: dict[tuple[int, float], Json] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layer_of(name, depth) if layer_decay != 1 else depth + 1
        plain = parameter.ndim <= 1 or (layer_decay != 1 and name in ("cls_token", "pos_embed"))
        decay = 0.0 if plain else weight_decay
        scale = layer_decay ** (depth + 1 - layer)
        group = groups.setdefault((layer, decay), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """0 for the embeddings, 1 to `depth` for the blocks, depth + 1 for what follows them."""
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return 0 if name.startswith(("patch_embed.", "cls_token", "pos_embed")) else depth + 1


def adamw(groups: list[Json], betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW whose rates `set_rate` sets."""
    return torch.optim.AdamW(groups, lr=0.0, betas=betas)


def rate(at: float, *, peak: float, low: float, warmup: float, epochs: float) -> float:
    """Learning rate at epoch `at` (a fraction): linear from 0 to `peak`, then half a cosine down to `low`."""
    if at < warmup:
        return peak * at / warmup
    part = (at - warmup) / max(epochs - warmup, 1e-9)
    return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


def set_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """The rate of every group, times the group's lr_scale."""
    for group in optimiser.param_groups:
        group["lr"] = value * group["lr_scale"]
