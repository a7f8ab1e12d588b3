"""Networks that nobody trained, in files: for measuring a machine before there is a model."""

from __future__ import annotations

from pathlib import Path

import torch

from maescan.config import Preset
from maescan.models.classifier import Classifier
from maescan.models.judge import Judge
from maescan.models.mae import MaskedAutoencoder
from maescan.models.weights import save_plain, save_weights


def save_untrained(preset: Preset, folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """The preset's MAE and classifier with random weights, as the public checkpoints FOLDER/mae.pth and
    FOLDER/classifier.pth."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    paths = folder / "mae.pth", folder / "classifier.pth"
    for path, model in zip(paths, (MaskedAutoencoder(preset.model), Classifier(preset.model)), strict=True):
        save_plain(path, model.state_dict())
    return paths


def save_untrained_judge(preset: Preset, path: Path) -> None:
    """The preset's judge with random weights, as the safetensors of a run folder."""
    save_weights(path, Judge(preset.model, preset.judge))
