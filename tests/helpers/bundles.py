"""Runs and bundles of tiny models whose scores differ from slice to slice, for the tests of engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from maescan.config import PRESETS, ModelConfig, Preset
from maescan.export.checkpoint import import_checkpoint
from maescan.models import Classifier, MaskedAutoencoder

SMALL = PRESETS["tiny"].replace(model=ModelConfig(32, 8, 48, 2, 4, 32, 2, 2))


def checkpoints(folder: Path, preset: Preset = SMALL) -> tuple[Path, Path]:
    """Public checkpoints of random weights; the classifier's head is wide, so that its scores spread."""
    torch.manual_seed(0)
    mae, classifier = MaskedAutoencoder(preset.model), Classifier(preset.model)
    torch.nn.init.normal_(classifier.head.weight, std=0.5)
    for name, model in (("mae", mae), ("classifier", classifier)):
        torch.save({"model": model.state_dict()}, folder / f"{name}.pth")
    return folder / "mae.pth", folder / "classifier.pth"


def a_run(folder: Path, preset: Preset = SMALL, slices: int = 16) -> Path:
    """A run folder as `maescan train` leaves it."""
    mae, classifier = checkpoints(folder, preset)
    run: Path = import_checkpoint(mae, classifier, preset, folder / "run")
    size = preset.model.image_size
    images = np.random.default_rng(0).random((slices, size, size)).astype(np.float16) * 2
    save_file({"images": images, "slice_ids": np.arange(slices)}, run / "quantisation.safetensors")
    return run


def engine_file(path: Path, name: str, file: str) -> Path:
    """A file of an engine of a bundle, wherever its version lies."""
    return next((path / "engines" / name).glob(f"*/{file}"))


def rewrite(path: Path, **fields: object) -> None:
    """A manifest with other fields, which fits itself."""
    from maescan.engines.manifest import body_hash

    file = path / "manifest.json"
    values = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({**values, "body": body_hash(values)}))


def reseal(path: Path) -> None:
    """Makes a manifest fit whatever the files are now."""
    from maescan.engines.bundle import write_manifest

    manifest = json.loads((path / "manifest.json").read_text())
    write_manifest(path, Preset.from_dict(manifest["preset"]), manifest["provenance"])
