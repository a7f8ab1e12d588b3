"""What the rivals share: their face, their size, and a training loop of a given number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from maescan.method.slices import SliceStore

Floats = NDArray[np.float32]
BATCH = 32


@dataclass(frozen=True)
class Size:
    """How large a rival is and how long it learns. width: channels of its first layer; steps: of `batch` slices.
    features: "random" or "imagenet", the frozen network of those that look at one's features."""

    width: int = 16
    steps: int = 1500
    batch: int = BATCH
    seed: int = 0
    device: str = "cpu"
    features: str = "random"


class Rival(Protocol):
    """A detector of anomalies."""

    def fit(self, healthy: SliceStore) -> None:
        """Learns from healthy slices [N, H, W]."""
        ...

    def score(self, slices: Floats) -> tuple[Floats, Floats]:
        """Scores [B], higher is more abnormal, and heat maps [B, H, W] of slices [B, H, W]."""
        ...


def drawn(slices: SliceStore, size: Size) -> Iterator[Tensor]:
    """`size.steps` batches [B, 1, H, W] of slices drawn at random, each flipped at random."""
    rng = np.random.default_rng([size.seed, 29])
    for _ in range(size.steps):
        which = np.sort(rng.integers(len(slices), size=size.batch))
        images = np.asarray(slices[which], np.float32)
        images[::2] = images[::2, :, ::-1]
        yield torch.from_numpy(images[:, None]).to(size.device)


def learn(
    parameters: Iterable[nn.Parameter], batches: Iterable[Tensor], loss: Callable[[Tensor], Tensor], steps: int
) -> None:
    """AdamW over the batches, its rate rising for a tenth of the steps and then falling to nothing."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps + 1, pct_start=0.1)
    for images in batches:
        optimiser.zero_grad()
        loss(images).backward()
        optimiser.step()
        schedule.step()


def in_batches(slices: Floats, answer: Callable[[Tensor], Tensor], device: str) -> Floats:
    """`answer` of slices [B, H, W] given as [b, 1, H, W], on the host; without gradients."""
    with torch.no_grad():
        parts = [
            answer(torch.from_numpy(np.ascontiguousarray(slices[at : at + BATCH, None], np.float32)).to(device))
            for at in range(0, len(slices), BATCH)
        ]
    return np.asarray(torch.cat(parts).float().cpu().numpy(), np.float32)


def tissue(images: Tensor) -> Tensor:
    """1 where images [B, 1, H, W] are over their lowest value, which is air."""
    return (images > images.amin(dim=(2, 3), keepdim=True)).float()


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of maps [B, 1, H, W]."""
    reach = max(1, int(3 * sigma))
    at = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    row = (weights / weights.sum())[None, None, None]
    padded = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, row), row.transpose(2, 3))


def highest(maps: Floats, share: float = 0.01) -> Floats:
    """The mean [B] of the highest `share` of the pixels of maps [B, H, W]."""
    flat = maps.reshape(len(maps), -1)
    count = max(1, int(share * flat.shape[1]))
    return np.asarray(np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1), np.float32)
