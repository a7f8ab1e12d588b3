"""Public PyTorch checkpoints of the two networks -> a run folder that `maescan export` takes."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

import maescan
from maescan.config import Preset
from maescan.errors import DataError
from maescan.files import whole_file, write_json
from maescan.method import draws
from maescan.models import Classifier, MaskedAutoencoder
from maescan.train.state import save_weights


def import_checkpoint(mae: Path, classifier: Path | None, preset: Preset, out: Path) -> Path:
    """Writes preset.json, run.json, golden.safetensors and the weights as safetensors into `out`, and returns it.

    `classifier` may be None where the preset's measure needs none. Raises DataError that names the file and the
    weights that are missing, unknown or of another shape, and for a file that holds more than plain tensors.
    """
    models: dict[str, nn.Module] = {"mae": load_public(mae, MaskedAutoencoder(preset.model))}
    if classifier is not None:
        models["classifier"] = load_public(classifier, Classifier(preset.model))
    elif preset.measure == "classifier":
        raise DataError(f"preset '{preset.name}' scores with a classifier", remedy="give --classifier too")
    out.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        save_weights(out / f"{name}.safetensors", model)
    with whole_file(out / "golden.safetensors") as temporary:
        save_file(_golden(preset), temporary)
    write_json(out / "preset.json", preset.to_dict())
    sources = {"mae": mae.name, **({"classifier": classifier.name} if classifier else {})}
    write_json(out / "run.json", {"versions": {"maescan": maescan.__version__}, "imported": sources, "phase": "done"})
    return out


def load_public(path: Path, model: nn.Module) -> Any:
    """`model` in eval mode with the weights of a file `{"model": state_dict, ...}` or a bare state dict.

    Only tensors and plain values are unpickled. Raises DataError naming the file and the weights that do not fit.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # public training scripts save their options
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (
            f"cannot be read as a checkpoint: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        )
        raise DataError(reason, path=path, remedy="give a file saved by torch.save with tensors only") from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError("holds no state dict", path=path, remedy='give {"model": state_dict} or a state dict')
    faults = _faults(state, model.state_dict())
    if faults:
        raise DataError("; ".join(faults), path=path, remedy="use the preset that the checkpoint was trained with")
    model.load_state_dict(state)
    return model.eval()


def _faults(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    named = {
        "missing weights": [name for name in wanted if name not in given],
        "unknown weights": [name for name in given if name not in wanted],
        "weights of another shape": shapes,
    }
    return [f"{fault}: {_few(names)}" for fault, names in named.items() if names]


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _golden(preset: Preset) -> dict[str, Any]:
    """Four made-up slices for a bundle to prove itself with, as an imported model has none of its own: a bright
    disc of noise on air, in 0 to 2."""
    size = preset.model.image_size
    y, x = np.mgrid[:size, :size] / size - 0.5
    inside = np.stack([y**2 + x**2 < radius**2 for radius in (0.2, 0.3, 0.4, 0.45)])
    noise = draws.uniforms(0, np.arange(4), 0, draws.NOISE, size * size).reshape(4, size, size)
    images = np.where(inside, 0.8 + np.sin(8 * x) * 0.4 + noise * 0.2, 0.0).astype(np.float32)
    return {"images": images, "slice_ids": np.arange(4, dtype=np.int64)}
