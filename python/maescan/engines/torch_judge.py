"""maescan.method.judge in torch's operations, which a CUDA graph can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maescan import kernels

if TYPE_CHECKING:
    from torch import Tensor


def features(
    images: Tensor, predictions: Tensor, restore_ids: Tensor, token_ids: Tensor | None, *, keep: int, patch: int
) -> Tensor:
    """As `method.judge.judge_features`; predictions [B*R, T, P*P], or [B*R, T-K, P*P] of the hidden tokens alone."""
    import torch

    pixels = kernels.patchify(images, token_ids, patch=patch)
    count, tokens, size = pixels.shape
    ranks = restore_ids.long() - (restore_ids.shape[1] - predictions.shape[1])
    predictions = (
        predictions.gather(1, ranks.clamp(min=0)[:, :, None].expand(-1, -1, size))
        if predictions.shape[1] < tokens
        else predictions
    )
    every = predictions.float().view(count, -1, tokens, size)
    hidden = (restore_ids >= keep).view(count, -1, tokens, 1)
    times = hidden.sum(dim=1).float()
    weights = hidden / times.clamp(min=1)[:, None]
    mean = (every * weights).sum(dim=1)
    spread = ((every - mean[:, None]).square() * weights).sum(dim=1).sqrt()
    mean = torch.where(times > 0, mean, pixels)
    return torch.cat([pixels - mean, spread, pixels, _look(mean, patch)], dim=2)


def _look(mean: Tensor, patch: int) -> Tensor:
    import torch

    squares = mean.unflatten(2, (patch, patch))
    steps = squares.diff(dim=2).abs().mean(dim=(2, 3)) + squares.diff(dim=3).abs().mean(dim=(2, 3))
    return torch.stack([mean.mean(dim=2), mean.std(dim=2, correction=0), steps / 2], dim=2)


def score(logits: Tensor) -> Tensor:
    """As `method.judge.slice_score`."""
    odds = logits.float().clamp(max=40).double().exp().sum(dim=1)
    return (odds / (1 + odds)).float()


def heat(logits: Tensor, token_ids: Tensor, grid: int, patch: int) -> Tensor:
    """As `method.judge.token_map`."""
    import torch

    cells = torch.zeros(len(logits), grid * grid, device=logits.device)
    cells.scatter_(1, token_ids.long(), logits.float().clamp(-40, 40).sigmoid())
    at = ((torch.arange(grid * patch, device=logits.device) + 0.5) / patch - 0.5).clamp(0, grid - 1)
    taps = (1 - (at[:, None] - torch.arange(grid, device=logits.device)).abs()).clamp(min=0)
    return taps @ cells.view(-1, grid, grid) @ taps.T
