"""Training of the judge: anomalies put into slices before they are masked, and residuals of MAEs that never saw the
slice's patient, as the deployed one will not have seen a patient that it scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from maescan import kernels
from maescan.config import Preset
from maescan.config.types import Json
from maescan.evaluate.ranking import auroc
from maescan.evaluate.stress import Healthy
from maescan.method import draws
from maescan.method.anomalies import put_anomalies
from maescan.method.artefacts import put_artefacts
from maescan.method.judge import judge_features, slice_score
from maescan.method.masks import make_masks
from maescan.method.slices import SliceStore
from maescan.method.tokens import tissue_of, token_sets, value_range
from maescan.models import Judge, MaskedAutoencoder
from maescan.train import steps
from maescan.train.augment import crop_and_flip
from maescan.train.optimiser import parameter_groups

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

HELD_OUT = ("flat", "mass effect", "missing tissue")
"""Kinds of lesion that no judge is trained on; the best epoch is the one that tells them best."""
VALIDATED = 96
COVERED, TOUCHED, SEEN = 0.1, 0.02, 0.03
"""A token is abnormal where an anomaly covers COVERED of it or more and changes it by SEEN deviations of the tissue
in the mean; one that is touched by TOUCHED or more and is not abnormal counts neither way."""
POSITIVE, SLICE_WEIGHT, PAIR_WEIGHT = 3.0, 0.5, 1.0
NOTHING = -40.0  # the logit of a token that is not there


class Fabric(Protocol):
    """What is needed of lightning's."""

    device: torch.device

    def autocast(self) -> AbstractContextManager[None]:
        """The arithmetic of training."""
        ...


class Residuals:
    """Features of slices by the MAE that did not train on them. maes: one a fold; fold [N]: that of each training
    slice."""

    def __init__(
        self, fabric: Fabric, maes: Sequence[MaskedAutoencoder], fold: NDArray[np.intp], preset: Preset
    ) -> None:
        self.fabric, self.maes, self.fold, self.preset = fabric, maes, fold, preset

    def __call__(self, images: Floats, which: Ids, token_ids: NDArray[np.int32], seed: int) -> Tensor:
        """Features [B, T, ModelConfig.judge_features] of slices [B, H, W], altered or not, of training slices `which`
        [B]; `seed` is that of the masks."""
        shape = (*token_ids.shape, self.preset.model.judge_features)
        made = np.empty(shape, np.float32)
        for number, mae in enumerate(self.maes):
            mine = np.flatnonzero(self.fold[which] == number)
            if len(mine):
                with self.fabric.autocast():
                    made[mine] = features_of(mae, images[mine], which[mine], token_ids[mine], self.preset, seed)
        return torch.from_numpy(made).to(self.fabric.device)


@torch.no_grad()
def features_of(
    mae: MaskedAutoencoder,
    images: Floats,
    slice_ids: Ids,
    token_ids: NDArray[np.int32],
    preset: Preset,
    seed: int | None = None,
) -> Floats:
    """What the judge sees [B, T, ModelConfig.judge_features] of slices [B, H, W] through an MAE, as in scoring."""
    device, patch = next(mae.parameters()).device, preset.model.patch_size
    keep_ids, restore_ids = make_masks(preset.masks, slice_ids, token_ids.shape[1], seed=seed)
    visible = kernels.patchify_visible(images, keep_ids, token_ids, patch=patch)
    rows = token_ids.repeat(preset.masks.passes, axis=0)
    tensors = [torch.from_numpy(array).to(device) for array in (visible, rows, keep_ids, restore_ids)]
    predictions = mae(*tensors).float().cpu().contiguous().numpy()
    return judge_features(images, predictions, restore_ids, token_ids, keep=keep_ids.shape[1], patch=patch)


class JudgePhase:
    """The judge: each sample is a training slice twice, with anomalies and without, cropped alike; masks have one
    seed, and fall alike where the sets are."""

    name = "judge"

    def __init__(
        self, model: Judge, images: SliceStore, residuals: Residuals, validation: HeldOut | None, seed: int
    ) -> None:
        self.model, self.images, self.residuals, self.validation = model, images, residuals, validation
        self.preset, self.seed, self.training = residuals.preset, seed, residuals.preset.judge
        self.samples = len(images)

    def groups(self) -> list[Json]:
        """Parameters for AdamW."""
        return parameter_groups(self.model, self.training.weight_decay)

    def start_epoch(self, epoch: int) -> None:
        """Nothing is kept from epoch to epoch."""

    def batch(self, ids: Ids, epoch: int) -> tuple[Tensor, ...]:
        """Slices [2 B, H, W] as the MAE will see them, first those with anomalies, and how abnormal each pixel is:
        where an anomaly lies [2 B, H, W] and by how much it changed the slice [2 B, H, W], in deviations of its
        tissue."""
        slices = torch.from_numpy(self.images[ids].astype(np.float32))
        images = self._in_range(crop_and_flip(slices, ids, self.training, seed=self.seed, epoch=epoch).numpy())
        altered, where = put_anomalies(images, ids, self.preset, seed=self.seed, epoch=epoch)
        tissue = tissue_of(images, self.preset)
        spread = np.array(
            [image[inside].std() if inside.any() else 1.0 for image, inside in zip(images, tissue, strict=True)]
        )
        change = np.abs(altered - images) / np.maximum(spread, 1e-3)[:, None, None]
        pairs = put_artefacts(np.stack([altered, images]), ids, self.preset, seed=self.seed, epoch=epoch)
        none = np.zeros_like(images)
        twice = (pairs, (where, none), (change, none))
        return tuple(torch.from_numpy(np.concatenate(part).astype(np.float32)) for part in twice)

    def _in_range(self, images: Floats) -> Floats:
        """Without what bicubic resampling overshoots, so that air is air. Of a CT what is no tissue has many values:
        lung stays lung."""
        low, high = value_range(self.preset) or (-np.inf, np.inf)
        if self.preset.intensity.method == "hu":
            return np.clip(images, np.float32(low), np.float32(high))
        floor = images.min(axis=(1, 2), keepdims=True) if np.isinf(low) else np.float32(low)
        return np.where(tissue_of(images, self.preset), np.clip(images, low, high), floor).astype(np.float32)

    def loss(self, forward: Callable[..., Tensor], batch: tuple[Tensor, ...], ids: Ids, epoch: int) -> Tensor:
        """`judge_loss` and `pair_loss` of the batch. The MAE sees groups of slices alike in the size of their sets,
        the judge all slices at once, so that its norms learn from such a mixture as scoring will show them."""
        slices, *pixels = batch
        features, token_ids, real = self._seen(
            slices, np.tile(ids, 2), draws.seed_of(self.seed, epoch, draws.JUDGE_MASKS)
        )
        logits = forward(features, token_ids).float().masked_fill(~real, NOTHING)
        patches = (steps.patchify(part, self.preset.model.patch_size).mean(dim=2) for part in pixels)
        cover, change = (torch.gather(part, 1, token_ids.long()) * real for part in patches)
        odds, seeable = torch.logsumexp(logits, dim=1), abnormal_tokens(cover, change).any(dim=1)
        return judge_loss(logits, cover, change, real) + PAIR_WEIGHT * pair_loss(odds, seeable)

    def _seen(self, slices: Tensor, ids: Ids, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B, T, F] of slices [B, H, W], their token_ids [B, T] and which of them are real: sets smaller
        than the largest have their first token again."""
        images, groups = slices.cpu().numpy(), steps.augmented_token_sets(slices, self.preset)
        shape = len(slices), max(token_ids.shape[1] for _, token_ids in groups)
        features = slices.new_zeros(*shape, self.preset.model.judge_features)
        every, real = (torch.zeros(shape, dtype=kind, device=slices.device) for kind in (torch.int32, torch.bool))
        for which, token_ids in groups:
            own = self.residuals(images[which], ids[which], token_ids.cpu().numpy(), seed)
            again = shape[1] - token_ids.shape[1]
            features[which] = torch.cat([own, own[:, :1].expand(-1, again, -1)], dim=1)
            every[which] = torch.cat([token_ids, token_ids[:, :1].expand(-1, again)], dim=1)
            real[which, : token_ids.shape[1]] = True
        return features, every, real

    def validate(self) -> float | None:
        """`HeldOut.tells`, which stands as val_auroc in log.csv; None without validation slices."""
        return self.validation.tells(self.model) if self.validation is not None else None


def judge_loss(logits: Tensor, cover: Tensor, change: Tensor, real: Tensor) -> Tensor:
    """Cross-entropy of tokens and of slices.

    logits [B, T]: the judge's; cover [B, T]: the share of a token that an anomaly covers; change [B, T]: the mean
    change there, in deviations of the slice's tissue; real [B, T]: false where a token counts for nothing.
    """
    abnormal = abnormal_tokens(cover, change).float()
    counts = (abnormal > 0) | (cover < TOUCHED)
    each = F.binary_cross_entropy_with_logits(
        logits, abnormal, weight=1 + (POSITIVE - 1) * abnormal, reduction="none"
    )
    clear = abnormal.any(dim=1) | counts.all(dim=1)
    whole = F.binary_cross_entropy_with_logits(torch.logsumexp(logits, dim=1), abnormal.amax(dim=1), reduction="none")
    return mean_where(each, counts & real) + SLICE_WEIGHT * mean_where(whole, clear)


def abnormal_tokens(cover: Tensor, change: Tensor) -> Tensor:
    """Which tokens [B, T] are abnormal; cover, change: as `judge_loss` has them."""
    return (cover >= COVERED) & (change >= SEEN)


def pair_loss(odds: Tensor, abnormal: Tensor) -> Tensor:
    """That a slice's log odds [2 B] with an anomaly, the first half, exceed those of the same slice without: what
    `stress` asks. abnormal [2 B]: whether the anomaly can be seen; other pairs do not count."""
    altered, plain = odds.chunk(2)
    return mean_where(F.softplus(plain - altered), abnormal[: len(altered)].float())


def mean_where(values: Tensor, which: Tensor) -> Tensor:
    """The mean of the values that count, 0 where none does."""
    return (values * which).sum() / which.sum().clamp(min=1)


class HeldOut:
    """Healthy slices of validation patients, without and with lesions of the kinds that are held out, as the judge
    sees them through the deployed MAE."""

    def __init__(self, mae: MaskedAutoencoder, healthy: Healthy, preset: Preset) -> None:
        device, self.shape = next(mae.parameters()).device, (1 + len(HELD_OUT), len(healthy))
        self.parts: list[tuple[int, NDArray[np.intp], Tensor, Tensor]] = []
        for number, kind in enumerate((None, *HELD_OUT)):
            images = healthy.images
            if kind:
                images = np.stack([healthy.insertion(kind, i).image for i in range(len(healthy))])
            for which, ids in token_groups(images, preset):
                features = features_of(mae, images[which], healthy.slice[which], ids, preset)
                tensors = torch.from_numpy(features).to(device), torch.from_numpy(ids).to(device)
                self.parts.append((number, which, *tensors))

    @torch.no_grad()
    def tells(self, model: Judge) -> float:
        """How well a judge tells slices with a lesion from those without: the mean of the AUROC over all of them and
        of that between each slice and itself, the share whose score rises. Of few patients the first is at chance
        until the second has long risen: slices differ by more than a lesion."""
        scores = np.zeros(self.shape)
        for number, which, *tensors in self.parts:
            scores[number, which] = slice_score(model(*tensors).float().cpu().numpy())
        plain, altered = scores[0], scores[1:]
        rises = ((altered > plain) + 0.5 * (altered == plain)).mean()
        labels = np.repeat([False, True], [plain.size, altered.size])
        return float(auroc(labels, np.concatenate([plain, altered.ravel()])) + rises) / 2


def token_groups(images: Floats, preset: Preset) -> list[tuple[NDArray[np.intp], NDArray[np.int32]]]:
    """(which slices [B], their token_ids [B, T]) of slices [N, H, W] alike in the size of their sets."""
    sets = token_sets(images, preset)
    if sets is None:
        every = np.arange(len(images))
        return [(every, np.tile(np.arange(preset.model.tokens, dtype=np.int32), (len(images), 1)))]
    return [(which, sets.ids(which, size)) for size, which in sets.groups()]
