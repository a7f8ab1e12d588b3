"""Public PyTorch checkpoints of the two networks -> a run folder that `maescan export` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from torch import nn

import maescan
from maescan.config import Preset
from maescan.datasets import SliceSet
from maescan.datasets.samples import write_samples
from maescan.errors import DataError
from maescan.files import atomic_file, claim, write_json
from maescan.method import draws
from maescan.method.intensity import training_ranges
from maescan.models import Classifier, MaskedAutoencoder
from maescan.models.weights import load_public, save_weights

GOLDEN, QUANTISATION = 4, 64  # slices


def import_checkpoint(
    mae: Path, classifier: Path | None, preset: Preset, out: Path, slices: SliceSet | None = None
) -> Path:
    """Writes preset.json, run.json, golden.safetensors and the weights as safetensors into `out`, and returns it.

    `classifier` may be None where the preset's measure needs none. `slices`, of scans like those that the networks
    were trained on, give the golden slices, those for int8's ranges, and the range of intensities beyond which a scan
    is flagged; without them golden slices are made up and nothing is flagged. Raises DataError that names the file
    and the weights that are missing, unknown or of another shape, and for a file that holds more than plain tensors.
    """
    models: dict[str, nn.Module] = {"mae": load_public(mae, MaskedAutoencoder(preset.model))}
    if classifier is not None:
        models["classifier"] = load_public(classifier, Classifier(preset.model))
    elif preset.network == "classifier":
        raise DataError(f"preset '{preset.name}' scores with a classifier", remedy="give --classifier too")
    if preset.network == "judge":
        raise DataError(
            f"preset '{preset.name}' scores with a judge, which no public weights hold",
            remedy="train it with `maescan train`, or import with preset brats",
        )
    claim(out, "a training run")
    for name, model in models.items():
        save_weights(out / f"{name}.safetensors", model)
    intensity = None
    if slices is None:
        with atomic_file(out / "golden.safetensors") as temporary:
            save_file(_made_up(preset), temporary)
    else:
        write_samples(out / "golden.safetensors", slices, GOLDEN)
        write_samples(out / "quantisation.safetensors", slices, QUANTISATION)
        intensity = training_ranges(slices.images, slices.patient, slices.patient)
    write_json(out / "preset.json", preset.to_dict())
    sources = {"mae": mae.name, **({"classifier": classifier.name} if classifier else {})}
    report = {"versions": {"maescan": maescan.__version__}, "imported": sources, "intensity": intensity}
    taken = slices.taken if slices is not None else ""
    write_json(out / "run.json", {**report, "taken": taken, "phase": "done"})
    return out


def _made_up(preset: Preset) -> dict[str, Any]:
    """Four made-up slices for a bundle to prove itself with, where there are no scans: a bright disc of noise on air,
    in 0 to 2."""
    size = preset.model.image_size
    y, x = np.mgrid[:size, :size] / size - 0.5
    inside = np.stack([y**2 + x**2 < radius**2 for radius in (0.2, 0.3, 0.4, 0.45)])
    noise = draws.uniforms(0, np.arange(4), 0, draws.NOISE, size * size).reshape(4, size, size)
    images = np.where(inside, 0.8 + np.sin(8 * x) * 0.4 + noise * 0.2, 0.0).astype(np.float32)
    return {"images": images, "slice_ids": np.arange(4, dtype=np.int64)}
