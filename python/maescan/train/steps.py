"""The paper's steps on torch models: patches, reconstruction over R masks, the classifier's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maescan import kernels
from maescan.config import Preset
from maescan.masks import make_masks
from maescan.models import Classifier, MaskedAutoencoder


def patchify(slices: Tensor, patch: int) -> Tensor:
    """Slices [B, H, W] -> patches [B, T, P*P], row by row."""
    b, h, w = slices.shape
    grid = slices.reshape(b, h // patch, patch, w // patch, patch).transpose(2, 3)
    return grid.reshape(b, -1, patch * patch)


def full_grid(rows: int, tokens: int, device: torch.device | str = "cpu") -> Tensor:
    """token_ids [rows, T] of the whole slice."""
    return torch.arange(tokens, device=device, dtype=torch.int32).expand(rows, -1)


@torch.no_grad()
def reconstruct(
    model: MaskedAutoencoder,
    images: NDArray[np.float32],
    slice_ids: ArrayLike,
    preset: Preset,
    *,
    seed: int | None = None,
    passes: int | None = None,
    **wanted: bool,
) -> Any:
    """Differences of slices [B, H, W]: the MAE's predictions of `passes` masks, visible patches pasted (unless
    preset.masks says otherwise), averaged.

    `seed` and `passes` default to preset.masks; `wanted` are `kernels.average_difference`'s flags (reconstruction,
    squared, tokens, errors). The model is used as it is: call eval() first.
    """
    config, device = preset.model, next(model.parameters()).device
    images = np.ascontiguousarray(images, np.float32)
    keep_ids, restore_ids = make_masks(preset.masks, slice_ids, config.tokens, seed=seed, passes=passes)
    visible = kernels.patchify_visible(images, keep_ids, None, patch=config.patch_size)
    tokens = full_grid(len(keep_ids), config.tokens, device)
    given, keep, restore = (torch.from_numpy(a).to(device) for a in (visible, keep_ids, restore_ids))
    predictions = model(given, tokens, keep, restore)
    return kernels.average_difference(
        images,
        predictions.float().cpu().contiguous().numpy(),
        restore_ids,
        keep=preset.masks.pasted(keep_ids.shape[1]),
        patch=config.patch_size,
        **wanted,
    )


def reconstructions(
    model: MaskedAutoencoder | None, images: NDArray[Any], slice_ids: ArrayLike, preset: Preset, *, seed: int
) -> NDArray[np.float32]:
    """Reconstructions [B, H, W] of slices [B, H, W]; the slices themselves without an MAE."""
    if model is None:
        return np.array(images, np.float32)
    made = reconstruct(model, images, slice_ids, preset, seed=seed, reconstruction=True)
    return np.asarray(made.reconstruction)


def classifier_input(
    kind: str, slices: NDArray[np.float32], reconstructions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the classifier sees [B, H, W]: |X - X_hat| (l1), (X - X_hat)^2 (l2) or the reconstruction (table 2b).

    Without an MAE ("image") the slice, altered or not, stands in for its reconstruction."""
    if kind in ("reconstruction", "image"):
        return reconstructions
    difference = np.abs(slices - reconstructions)
    return difference if kind == "l1" else difference * difference


@torch.no_grad()
def score(classifier: Classifier, inputs: NDArray[np.float32], *, batch: int = 128) -> NDArray[np.float32]:
    """Probability [B] that inputs [B, H, W] (of `classifier_input`) are abnormal."""
    config, device = classifier.config, next(classifier.parameters()).device
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(inputs), batch):
        part = torch.from_numpy(np.ascontiguousarray(inputs[start : start + batch], np.float32)).to(device)
        tokens = full_grid(len(part), config.tokens, device)
        scores.append(classifier.score(patchify(part, config.patch_size), tokens).cpu().numpy())
    return np.concatenate(scores)
