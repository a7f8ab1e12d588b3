"""maescan.method.judge in torch's operations, which a CUDA graph can hold, and an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def features(pixels: Tensor, predictions: Tensor, restore_ids: Tensor, *, keep: int, patch: int) -> Tensor:
    """As `method.judge.judge_features` of the slices' tokens [B, T, P*P]; predictions [B*R, T, P*P], or
    [B*R, T-K, P*P] of the hidden tokens alone."""
    count, tokens, size = pixels.shape
    ranks = restore_ids.long() - (restore_ids.shape[1] - predictions.shape[1])
    predictions = (
        predictions.gather(1, ranks.clamp(min=0)[:, :, None].expand(-1, -1, size))
        if predictions.shape[1] < tokens
        else predictions
    )
    hidden = (restore_ids >= keep).view(count, -1, tokens, 1)
    return of_passes(pixels, predictions.float().view(count, -1, tokens, size), hidden, patch)


def of_passes(pixels: Tensor, every: Tensor, hidden: Tensor, patch: int) -> Tensor:
    """Features of tokens [B, T, P*P] from predictions [B, R, T, P*P], of which those count that were hidden
    [B, R, T, 1]."""
    import torch

    times = hidden.sum(dim=1).float()
    weights = hidden / times.clamp(min=1)[:, None]
    mean = (every * weights).sum(dim=1)
    spread = ((every - mean[:, None]).square() * weights).sum(dim=1).sqrt()
    mean = torch.where(times > 0, mean, pixels)
    return torch.cat([pixels - mean, spread, pixels, _look(mean, patch)], dim=2)


def _look(mean: Tensor, patch: int) -> Tensor:
    import torch

    squares, level = mean.unflatten(2, (patch, patch)), mean.mean(dim=2)
    down, right = squares[:, :, 1:] - squares[:, :, :-1], squares[..., 1:] - squares[..., :-1]
    steps = down.abs().mean(dim=(2, 3)) + right.abs().mean(dim=(2, 3))
    spread = (mean - level[..., None]).square().mean(dim=2).sqrt()
    return torch.stack([level, spread, steps / 2], dim=2)


def score(logits: Tensor) -> Tensor:
    """As `method.judge.slice_score`."""
    odds = logits.float().clamp(max=40).double().exp().sum(dim=1)
    return (odds / (1 + odds)).float()


def heat(logits: Tensor, token_ids: Tensor, grid: int, patch: int) -> Tensor:
    """As `method.judge.token_map`."""
    import torch

    cells = torch.zeros(len(logits), grid * grid, device=logits.device)
    cells.scatter_(1, token_ids.long(), logits.float().clamp(-40, 40).sigmoid())
    return between(cells.view(-1, grid, grid), grid, patch)


def between(cells: Tensor, grid: int, patch: int) -> Tensor:
    """Values of patches [B, grid, grid] as pictures [B, H, W], linear between the middles of patches. As sums of two,
    not as a product of matrices: in float32 TensorRT-RTX has none for an RTX 20."""
    import torch

    at = ((torch.arange(grid * patch, device=cells.device) + 0.5) / patch - 0.5).clamp(0, grid - 1)
    low = at.long().clamp(max=max(grid - 2, 0))
    high, share = (low + 1).clamp(max=grid - 1), at - low
    rows = cells[:, low] * (1 - share)[:, None] + cells[:, high] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, high] * share
