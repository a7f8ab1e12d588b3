"""The paper's steps on torch models: patches, reconstruction over R masks, the classifier's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maescan import kernels
from maescan.config import Preset
from maescan.method.masks import make_masks
from maescan.method.tokens import TokenSets, air_level, multiple_of, patch_distances, patches_of, token_sets
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
    token_ids: NDArray[np.int32] | None = None,
) -> kernels.Differences:
    """Differences of slices [B, H, W]: the MAE's predictions of several masks, visible patches pasted (unless
    preset.masks says otherwise), averaged, and the reconstructions.

    `seed` defaults to that of preset.masks, token_ids [B, T] to the full grid. The model is used as it is:
    call eval() first.
    """
    config, device = preset.model, next(model.parameters()).device
    images = np.ascontiguousarray(images, np.float32)
    count = config.tokens if token_ids is None else token_ids.shape[1]
    keep_ids, restore_ids = make_masks(preset.masks, slice_ids, count, seed=seed)
    visible = kernels.patchify_visible(images, keep_ids, token_ids, patch=config.patch_size)
    given, keep, restore = (torch.from_numpy(a).to(device) for a in (visible, keep_ids, restore_ids))
    if token_ids is None:
        tokens = full_grid(len(keep_ids), count, device)
    else:
        tokens = torch.from_numpy(token_ids).to(device).repeat_interleave(len(keep_ids) // len(images), dim=0)
    predictions = model(given, tokens, keep, restore)
    return kernels.average_difference(
        images,
        predictions.float().cpu().contiguous().numpy(),
        restore_ids,
        keep=preset.masks.pasted(keep_ids.shape[1]),
        patch=config.patch_size,
        token_ids=token_ids,
        reconstruction=True,
    )


def reconstructions(
    model: MaskedAutoencoder | None, images: NDArray[np.floating], slice_ids: ArrayLike, preset: Preset, *, seed: int
) -> NDArray[np.float32]:
    """Reconstructions [B, H, W] of slices [B, H, W]; the slices themselves without an MAE."""
    if model is None:
        return np.array(images, np.float32)
    sets = token_sets(images, preset)
    if sets is None:
        made = reconstruct(model, images, slice_ids, preset, seed=seed)
        return np.asarray(made.reconstruction)
    whole, slice_ids = np.array(images, np.float32), np.asarray(slice_ids)
    for size, which in sets.groups():
        ids = sets.ids(which, size)
        part = reconstruct(model, whole[which], slice_ids[which], preset, seed=seed, token_ids=ids)
        whole[which] = part.reconstruction
    return whole


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
def score(
    classifier: Classifier, inputs: NDArray[np.float32], sets: TokenSets | None = None, *, batch: int = 128
) -> NDArray[np.float32]:
    """Probability [B] that inputs [B, H, W] (of `classifier_input`) are abnormal; 0 where a slice has no tokens."""
    config, device = classifier.config, next(classifier.parameters()).device
    scores = np.zeros(len(inputs), np.float32)
    everything = [(config.tokens, np.arange(len(inputs)))]
    for size, group in sets.groups() if sets else everything:
        for which in np.split(group, range(batch, len(group), batch)):
            part = torch.from_numpy(np.ascontiguousarray(inputs[which], np.float32)).to(device)
            patches, ids = patchify(part, config.patch_size), full_grid(len(part), config.tokens, device)
            if sets:
                ids = torch.from_numpy(sets.ids(which, size)).to(device)
                patches = gather(patches, ids)
            scores[which] = classifier.score(patches, ids).cpu().numpy()
    return scores


def gather(patches: Tensor, ids: Tensor) -> Tensor:
    """Patches [B, L, P*P] of ids [B, T] -> [B, T, P*P]."""
    return torch.gather(patches, 1, ids.long()[:, :, None].expand(-1, -1, patches.shape[2]))


GROUPS, FEWEST = 8, 8


def augmented_token_sets(slices: Tensor, preset: Preset) -> list[tuple[Any, Tensor]]:
    """Token sets of slices [B, H, W] that an augmentation has moved: (which of them, token_ids [b, T]), each slice in
    one. With foreground tokens there are up to `GROUPS` of slices alike in size, at least `FEWEST` in each, so that
    a step sees all sizes (batches of one size each cost 0.08 of AUROC) and pads little.

    A set is as `tokens.token_sets` makes it, of a `multiple_of` tokens that holds the foreground of its group; chance
    decides between padding equally near."""
    config = preset.model
    if preset.tokens.method == "all":
        return [(slice(None), full_grid(len(slices), config.tokens, slices.device))]
    patches = patches_of((slices > air_level(preset)).cpu().numpy(), preset)
    count, multiple = patches.sum(axis=1), multiple_of(preset)
    inside = torch.from_numpy(patches).to(slices.device)
    distance = torch.from_numpy(patch_distances(config.grid)).to(slices.device, torch.float32)
    nearest = torch.where(inside[:, None, :], distance, 1e4).amin(dim=2)
    nearest += torch.rand_like(nearest)
    groups = max(1, min(GROUPS, len(slices) // FEWEST))
    found = []
    for which in np.array_split(np.argsort(count, kind="stable"), groups):
        size = min(-(-max(1, int(count[which].max())) // multiple) * multiple, config.tokens)
        found.append((which, nearest[which].topk(size, largest=False).indices.sort(dim=1).values.int()))
    return found
