"""The classifier's training pairs (section 3.4): reconstructions in a memory-mapped file, boxes drawn when read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets.sliceset import SliceSet
from maescan.files import atomic_file
from maescan.method import draws
from maescan.method.pseudo import pseudo_abnormal
from maescan.method.slices import SliceStore
from maescan.method.tokens import TokenSets, token_sets
from maescan.models import MaskedAutoencoder
from maescan.models.classifier import ABNORMAL, NORMAL
from maescan.progress import part
from maescan.train import steps

Ids = NDArray[np.int64]
CHUNK = 64  # slices that are reconstructed at once


class Pairs:
    """Reconstructions [2, N, H, W] of N slices by two sets of masks, made by all processes together.

    The first half serves as normal; the second, altered, as abnormal. Processes must share the run folder.
    """

    def __init__(
        self,
        fabric: Any,
        path: Path,
        model: MaskedAutoencoder | None,
        images: SliceStore,
        preset: Preset,
        seed: int,
    ) -> None:
        self.fabric, self.path, self.model, self.images = fabric, path, model, images
        self.preset, self.seed = preset, seed
        self.epoch: int | None = None

    def __call__(self, epoch: int) -> NDArray[np.float32]:
        """The pairs made with the masks of `epoch`; always epoch 0 where they are made once."""
        if self.epoch != epoch:
            self._make(epoch)
            self.epoch = epoch
        return np.load(self.path, mmap_mode="r")

    def _make(self, epoch: int) -> None:
        fabric = self.fabric
        fabric.barrier()
        if fabric.is_global_zero:
            with atomic_file(self.path) as empty:
                np.lib.format.open_memmap(empty, "w+", np.float32, (2, *self.images.shape))
                with empty.open("r+b") as file:  # room on the disk: a map that finds none is killed without a word
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        fabric.barrier()
        pairs = np.load(self.path, mmap_mode="r+")
        mine = np.arange(fabric.global_rank, len(self.images), fabric.world_size)
        with part("the classifier's pairs", "slices") as update:
            for half in range(2):
                seed = draws.seed_of(self.seed, epoch, draws.PAIR_MASKS + half)
                for start in range(0, len(mine), CHUNK):
                    update(half * len(mine) + start, 2 * len(mine))
                    ids = mine[start : start + CHUNK]
                    pairs[half, ids] = self._reconstruct(self.images[ids], ids, seed)
        pairs.flush()
        fabric.barrier()

    def _reconstruct(self, images: NDArray[np.floating], ids: Ids, seed: int) -> NDArray[np.float32]:
        with self.fabric.autocast():
            return steps.reconstructions(self.model, images, ids, self.preset, seed=seed)


def pair_inputs(
    preset: Preset, slices: NDArray[np.floating], pairs: NDArray[np.float32], samples: Ids, *, seed: int, epoch: int
) -> NDArray[np.float32]:
    """Classifier inputs [B, H, W] of samples [B] (see `training_samples`) of the pairs [2, N, H, W], and their slices
    [B, H, W].

    Those that are abnormal are the altered half, with the boxes of (seed, slice, epoch).
    """
    which, label = np.divmod(samples, 2)
    reconstructions = np.where((label == NORMAL)[:, None, None], pairs[0, which], pairs[1, which])
    altered = np.flatnonzero(label == ABNORMAL)
    if len(altered):
        reconstructions[altered] = pseudo_abnormal(
            reconstructions[altered], preset, slices[altered], which[altered], seed=seed, epoch=epoch
        )
    return steps.classifier_input(preset.input, slices.astype(np.float32), reconstructions)


def training_samples(images: SliceStore, preset: Preset) -> Ids:
    """The samples of slices [N, H, W] that the classifier learns from: 2 i is slice i altered, 2 i + 1 unaltered.

    Slices of one value have no altered sample unless the preset wants them: there is nothing in them to alter, and
    the two labels would contradict each other.
    """
    samples = np.arange(2 * len(images))
    if preset.classifier.altered_blanks:
        return samples
    blank = np.concatenate([np.ptp(images[at : at + CHUNK], axis=(1, 2)) == 0 for at in range(0, len(images), CHUNK)])
    return samples[~np.repeat(blank, 2) | (samples % 2 == NORMAL)]


def validation_inputs(
    fabric: Any, model: MaskedAutoencoder | None, validation: SliceSet, preset: Preset, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], TokenSets | None]:
    """Inputs [M, H, W], whether each is abnormal and their token sets, to judge the epochs by; only the first process
    has any.

    Real lesions where validation patients have slices with and without them, else pairs of their healthy slices.
    """
    labels = np.asarray(validation.label)
    if not fabric.is_global_zero:
        return np.empty((0, 0, 0), np.float32), np.empty(0, bool), None
    if (labels == 1).any() and (labels == 0).any():
        images, abnormal = validation.images[labels >= 0], labels[labels >= 0] == 1
        return _inputs(fabric, model, images, preset, seed, altered=False), abnormal, token_sets(images, preset)
    images = validation.images[labels != 1]
    if not preset.classifier.altered_blanks:
        images = images[np.ptp(images, axis=(1, 2)) > 0]
    inputs = [_inputs(fabric, model, images, preset, seed, altered=altered) for altered in (False, True)]
    sets = token_sets(np.concatenate([images, images]), preset)
    return np.concatenate(inputs), np.arange(2 * len(images)) >= len(images), sets


def _inputs(
    fabric: Any,
    model: MaskedAutoencoder | None,
    images: NDArray[np.floating],
    preset: Preset,
    seed: int,
    *,
    altered: bool,
) -> NDArray[np.float32]:
    made = [np.empty((0, *images.shape[1:]), np.float32)]
    mask_seed = draws.seed_of(seed, 0, draws.VALIDATION_MASKS + altered)
    with part("validation slices", "slices") as update:
        for start in range(0, len(images), CHUNK):
            update(start, len(images))
            batch = images[start : start + CHUNK].astype(np.float32)
            ids = np.arange(start, start + len(batch))
            with fabric.autocast():
                reconstructions = steps.reconstructions(model, batch, ids, preset, seed=mask_seed)
            if altered:
                reconstructions = pseudo_abnormal(reconstructions, preset, batch, ids, seed=mask_seed)
            made.append(steps.classifier_input(preset.input, batch, reconstructions))
    return np.concatenate(made)
