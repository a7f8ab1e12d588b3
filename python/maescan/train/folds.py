"""The judge's training after the MAE's: MAEs that leave out a part of the patients each, then the judge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate.stress import Healthy
from maescan.files import write_json
from maescan.models import Judge, MaskedAutoencoder
from maescan.models.public import start_from_public
from maescan.models.weights import load_weights, save_weights
from maescan.train.judging import VALIDATED, HeldOut, JudgePhase, Residuals, features_of, token_groups
from maescan.train.loop import Trainer, TrainingRun, batches
from maescan.train.phases import MaePhase
from maescan.train.setup import build
from maescan.train.state import Position, place

QUANTILES = (0.5, 0.9, 0.99)
SAMPLED = 64  # slices whose differences are compared


def fit_judge(
    run: TrainingRun, preset: Preset, mae: MaskedAutoencoder, training: SliceSet, validation: SliceSet, seconds: float
) -> Position:
    """Trains judge.safetensors on differences of patients that the MAE behind them does not know."""
    preset = with_steps(preset, len(training.images), run.parts)
    fold = folds_of(training.subject, preset.judge.folds, run.seed)
    maes = [mae]
    if fold.any():
        parts = [FoldPhase(run, preset, training, fold, number) for number in range(int(fold.max()) + 1)]
        for part in parts:
            seconds = part.fit(seconds)
        maes = [part.mae.to(run.fabric.device).eval() for part in parts]
    residuals = Residuals(run.fabric, maes, fold, preset)
    judge = build(Judge, run.seed, preset.model, judge=preset.judge)
    held_out = _held_out(mae, validation, preset, run.seed) if run.first else None
    if run.first:
        write_json(run.out / "residuals.json", _quantiles(mae, residuals, training, validation, preset))
    at = Trainer(run, JudgePhase(judge, training.images, residuals, held_out, run.seed), seconds).fit()
    if run.first and at.best_epoch < 0:
        save_weights(run.out / "judge.safetensors", judge)
    return at


def with_steps(preset: Preset, samples: int, parts: int) -> Preset:
    """A preset whose judge has as many epochs as make `least_steps` of so many samples. parts: of a batch."""
    _, steps = batches(samples, preset.judge.batch_size, parts)
    return preset.replace(judge__epochs=max(preset.judge.epochs, -(-preset.judge.least_steps // steps)))


def folds_of(patients: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.intp]:
    """The fold [N] of each slice, all slices of a patient in one; fewer folds where there are fewer patients."""
    names = np.unique(patients)
    count = min(folds, len(names))
    if count < 2:
        return np.zeros(len(patients), np.intp)
    place_of = np.random.default_rng([seed, 17]).permutation(len(names)) % count
    return place_of[np.searchsorted(names, patients)]


class FoldPhase:
    """The MAE that knows all folds but `number`, in foldN.safetensors."""

    def __init__(
        self, run: TrainingRun, preset: Preset, training: SliceSet, fold: NDArray[np.intp], number: int
    ) -> None:
        self.run, self.number, self.file = run, number, run.out / f"fold{number}.safetensors"
        epochs = preset.judge.fold_epochs or preset.mae.epochs
        warmup = min(preset.mae.warmup_epochs, epochs // 2)
        own = preset.replace(mae__epochs=epochs, mae__warmup_epochs=warmup)
        self.mae = build(MaskedAutoencoder, run.seed, preset.model)
        if run.options.init is not None:  # as the deployed MAE, whose differences these stand for
            start_from_public(self.mae, run.options.init)
        self.phase = MaePhase(self.mae, training.select(fold != number).images, own, run.seed)
        self.phase.name = f"fold{number}"

    def fit(self, seconds: float) -> float:
        """Takes what was trained before a kill, else trains; the seconds of the run until then."""
        run = self.run
        reached = run.checkpoint["at"] if run.checkpoint else Position("mae")
        if place(reached.phase) > self.number and self.file.exists():
            load_weights(self.file, self.mae)
            return max(seconds, reached.seconds)
        at = Trainer(run, self.phase, seconds).fit()
        if run.first:
            save_weights(self.file, self.mae)
        run.fabric.barrier()
        return at.seconds


def _held_out(mae: MaskedAutoencoder, validation: SliceSet, preset: Preset, seed: int) -> HeldOut | None:
    try:
        return HeldOut(mae, Healthy(validation, preset, most=VALIDATED, seed=seed), preset)
    except DataError:  # nobody to validate on: the last epoch is taken
        return None


def _quantiles(
    mae: MaskedAutoencoder, residuals: Residuals, training: SliceSet, validation: SliceSet, preset: Preset
) -> dict[str, list[float]]:
    """Quantiles of mean absolute differences of tokens: those that the judge learns on should be those of patients
    that the deployed MAE does not know, not those of patients that it knows."""
    rows = np.unique(np.linspace(0, len(training.images) - 1, SAMPLED).astype(int))
    images = np.ascontiguousarray(training.images[rows], np.float32)
    every = [(rows[which], images[which], ids) for which, ids in token_groups(images, preset)]
    made = {
        "learnt from": [residuals(part, which, ids, 0).cpu().numpy() for which, part, ids in every],
        "deployed, patients it knows": [features_of(mae, part, which, ids, preset) for which, part, ids in every],
    }
    if len(validation.images):
        rows = np.unique(np.linspace(0, len(validation.images) - 1, SAMPLED).astype(int))
        images = np.ascontiguousarray(validation.images[rows], np.float32)
        unknown = [features_of(mae, images[w], w, ids, preset) for w, ids in token_groups(images, preset)]
        made["deployed, patients it does not know"] = unknown
    pixels = preset.model.patch_pixels
    sizes = {k: np.concatenate([np.abs(f[..., :pixels]).mean(2).ravel() for f in parts]) for k, parts in made.items()}
    return {name: [round(float(v), 6) for v in np.quantile(size, QUANTILES)] for name, size in sizes.items()}
