"""The two trainings: what a batch is, its loss, and how an epoch is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maescan.config import Preset
from maescan.config.types import Json
from maescan.evaluate.ranking import auroc
from maescan.method import draws
from maescan.method.masks import make_masks
from maescan.method.slices import SliceStore
from maescan.method.tokens import TokenSets
from maescan.models import Classifier, MaskedAutoencoder
from maescan.train import steps
from maescan.train.augment import Training, coarse_noise, crop_and_flip, erase
from maescan.train.optimiser import parameter_groups
from maescan.train.pairs import pair_inputs, training_samples

Ids = NDArray[np.int64]


class Phase(Protocol):
    """What `loop.fit` runs. `batch` runs in a thread beside the model; `loss` is a mean over the batch."""

    name: str
    model: Any
    samples: int

    @property
    def training(self) -> Training: ...

    def groups(self) -> list[Json]: ...
    def start_epoch(self, epoch: int) -> None: ...
    def batch(self, ids: Ids, epoch: int) -> tuple[Tensor, ...]: ...
    def loss(self, forward: Callable[..., Tensor], batch: tuple[Tensor, ...], ids: Ids, epoch: int) -> Tensor: ...
    def validate(self) -> float | None: ...


class MaePhase:
    """The MAE on healthy slices: a new mask and a new crop of every slice in every epoch."""

    name = "mae"

    def __init__(self, model: MaskedAutoencoder, images: SliceStore, preset: Preset, seed: int) -> None:
        self.model, self.images, self.preset, self.seed = model, images, preset, seed
        self.samples, self.training = len(images), preset.mae
        self.masks = dataclasses.replace(preset.masks, strategy="random", passes=1)

    def groups(self) -> list[Json]:
        return parameter_groups(self.model, self.training.weight_decay)

    def start_epoch(self, epoch: int) -> None:
        pass

    def batch(self, ids: Ids, epoch: int) -> tuple[Tensor, ...]:
        """Slices [B, H, W]."""
        return (torch.from_numpy(self.images[ids].astype(np.float32)),)

    def loss(self, forward: Callable[..., Tensor], batch: tuple[Tensor, ...], ids: Ids, epoch: int) -> Tensor:
        slices = crop_and_flip(batch[0], ids, self.training, seed=self.seed, epoch=epoch)
        every = steps.patchify(slices, self.preset.model.patch_size)
        seen = every
        if self.training.noise:
            noisy = coarse_noise(slices, ids, self.training, seed=self.seed, epoch=epoch)
            seen = steps.patchify(noisy, self.preset.model.patch_size)
        seed = draws.seed_of(self.seed, epoch, draws.TRAIN_MASKS)
        losses, weights = [], []
        for which, token_ids in steps.augmented_token_sets(slices, self.preset):
            masks = make_masks(self.masks, ids[which], token_ids.shape[1], seed=seed)
            keep_ids, restore_ids = (torch.from_numpy(part).to(slices.device) for part in masks)
            patches = steps.gather(every[which], token_ids)
            visible = steps.gather(steps.gather(seen[which], token_ids), keep_ids)
            predictions = forward(visible, token_ids, keep_ids, restore_ids)
            on = self.training.loss_tokens
            losses.append(self.model.loss(predictions, patches, restore_ids, keep_ids.shape[1], on))
            weights.append(restore_ids.numel() - (keep_ids.numel() if on == "masked" else 0))
        return weighted_mean(losses, weights)

    def validate(self) -> float | None:
        return None


class ClassifierPhase:
    """The classifier on pairs (section 3.4), as `pairs.training_samples` numbers them."""

    name = "classifier"

    def __init__(
        self,
        model: Classifier,
        images: SliceStore,
        pairs: Callable[[int], NDArray[np.float32]],
        validation: tuple[NDArray[np.float32], NDArray[np.bool_], TokenSets | None],
        preset: Preset,
        seed: int,
    ) -> None:
        """`pairs(epoch)` are the reconstructions [2, N, H, W] of images [N, H, W] by two sets of masks; `validation`
        are inputs [M, H, W], whether each is abnormal, and their token sets."""
        self.model, self.images, self.make_pairs, self.validation = model, images, pairs, validation
        self.preset, self.seed, self.training = preset, seed, preset.classifier
        self.pair_samples = training_samples(images, preset)
        self.samples = len(self.pair_samples)

    def groups(self) -> list[Json]:
        return parameter_groups(self.model, self.training.weight_decay, self.training.layer_decay)

    def start_epoch(self, epoch: int) -> None:
        self.pairs = self.make_pairs(epoch if self.training.fresh_negatives else 0)

    def batch(self, ids: Ids, epoch: int) -> tuple[Tensor, ...]:
        """Inputs [B, H, W], labels [B] (0 abnormal, 1 normal), and the slices where token sets are wanted."""
        samples = self.pair_samples[ids]
        which, label = np.divmod(samples, 2)
        boxes_epoch = epoch if self.training.fresh_negatives else 0
        inputs = pair_inputs(self.preset, self.images[which], self.pairs, samples, seed=self.seed, epoch=boxes_epoch)
        slices = (
            () if self.preset.tokens.method == "all" else (torch.from_numpy(self.images[which].astype(np.float32)),)
        )
        return torch.from_numpy(inputs), torch.from_numpy(label), *slices

    def loss(self, forward: Callable[..., Tensor], batch: tuple[Tensor, ...], ids: Ids, epoch: int) -> Tensor:
        inputs, labels, *slices = batch
        inputs, *slices = (
            crop_and_flip(part, ids, self.training, seed=self.seed, epoch=epoch) for part in (inputs, *slices)
        )
        inputs = erase(inputs, ids, self.training, seed=self.seed, epoch=epoch)
        every = steps.patchify(inputs, self.preset.model.patch_size)
        losses, weights = [], []
        for which, token_ids in steps.augmented_token_sets(slices[0] if slices else inputs, self.preset):
            logits = forward(steps.gather(every[which], token_ids), token_ids).float()
            smoothing = self.training.label_smoothing
            losses.append(nn.functional.cross_entropy(logits, labels[which], label_smoothing=smoothing))
            weights.append(len(logits))
        return weighted_mean(losses, weights)

    def validate(self) -> float | None:
        inputs, abnormal, sets = self.validation
        return auroc(abnormal, steps.score(self.model, inputs, sets)) if len(inputs) else None


def weighted_mean(losses: list[Tensor], weights: list[int]) -> Tensor:
    """One loss of a step's groups; of one group, its loss to the bit."""
    return torch.stack([loss * (weight / sum(weights)) for loss, weight in zip(losses, weights, strict=True)]).sum()
