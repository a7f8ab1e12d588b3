"""Checkpoint -> bundle: weights, engines, and golden answers that prove them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maescan.config import Preset
from maescan.engines.bundle import Bundle, put_engine, seal
from maescan.engines.targets import TARGETS
from maescan.errors import ConfigError, DataError
from maescan.export.engine import build
from maescan.scans.scratch import folder_beside

GIVEN = "quantisation.safetensors"
"""Training slices in a run folder and a bundle, for the ranges of int8's activations."""


def export(run: Path, out: Path, *, to: Sequence[str] = ("openvino",), precision: Sequence[str] = ()) -> Path:
    """A bundle at `out` from a run folder of `maescan train`; it appears whole or not at all. Where `run` is a bundle
    itself, its own engines are added to.

    Every target is built in each precision that it knows of those asked for; with none asked for, in the closest to
    the reference that it has. Raises ConfigError for a target or a
    precision that none knows, DataError for an unfinished run or an existing `out`, BundleError for an engine that
    drifts, EngineError for one that cannot be built here.
    """
    wanted = _wanted(to, precision)
    run, out = Path(run), Path(out)
    if (run / "manifest.json").exists():
        return _add(Bundle.load(run), out, wanted)
    preset = _preset(run)
    if out.exists():
        raise DataError("exists already", path=out, remedy="choose another --out or remove it")
    with folder_beside(out) as temporary:
        made = temporary / "bundle"
        (made / "golden").mkdir(parents=True)
        provenance = json.loads((run / "run.json").read_text())
        for name in ("mae.safetensors", f"{preset.network or 'classifier'}.safetensors"):
            if (run / name).exists():
                shutil.copyfile(run / name, made / name)
        if (run / GIVEN).exists():
            shutil.copyfile(run / GIVEN, made / "golden" / GIVEN)
        _golden(run, made, preset)
        seal(made, preset, provenance, calibration=None, intensity=provenance.get("intensity"))
        _engines(made, wanted)
        made.rename(out)
    return out


def add_engine(bundle: Path, to: Sequence[str], precision: Sequence[str]) -> Path:
    """Adds engines to a bundle, or makes them anew; raises as `export`."""
    return export(bundle, bundle, to=to, precision=precision)


def import_checkpoint(
    mae: Path,
    classifier: Path | None,
    preset: str,
    out: Path,
    *,
    data: Path | None = None,
    modality: str | None = None,
) -> Path:
    """A bundle at `out` from public checkpoints of the two networks. `data`: scans like those that they were trained
    on, a data set or a prepared cache; see `checkpoint.import_checkpoint`. Raises DataError where they do not fit."""
    from maescan import datasets
    from maescan.config import preset as named
    from maescan.export import checkpoint as checkpoints

    if out.exists():
        raise DataError("exists already", path=out, remedy="choose another --out or remove it")
    chosen = named(preset)
    slices = None if data is None else datasets.load(data, chosen, modality=modality)
    with tempfile.TemporaryDirectory(prefix="maescan-") as folder:
        return export(checkpoints.import_checkpoint(mae, classifier, chosen, Path(folder), slices), out)


def _wanted(to: Sequence[str], precision: Sequence[str]) -> list[tuple[str, str]]:
    if not precision:
        pairs = [(target, TARGETS[target].precisions[0]) for target in to if target in TARGETS]
        return pairs if len(pairs) == len(to) else _wanted(to, [name for _, name in pairs] or ["fp32"])
    known = "; ".join(f"{target}: {', '.join(found.precisions)}" for target, found in TARGETS.items())
    offered = {target: TARGETS[target].precisions for target in to if target in TARGETS}
    pairs = [(target, name) for target in to for name in precision if name in offered.get(target, ())]
    for target in to:
        if not any(target == found for found, _ in pairs):
            raise ConfigError(f"cannot export to {target} in {', '.join(precision)}", remedy=f"known are {known}")
    for name in precision:
        if not any(name == found for _, found in pairs):
            raise ConfigError(f"cannot export to {', '.join(to)} in {name}", remedy=f"known are {known}")
    return pairs


def _add(bundle: Bundle, out: Path, wanted: list[tuple[str, str]]) -> Path:
    """A copy at `out` with the engines added, or the bundle itself where `out` is the same folder."""
    if out.resolve() == bundle.path.resolve():
        _engines(bundle.path, wanted)
        return bundle.path
    if out.exists():
        raise DataError("exists already", path=out, remedy="choose another --out or remove it")
    with folder_beside(out) as temporary:
        made = temporary / "bundle"
        shutil.copytree(bundle.path, made)
        _engines(made, wanted)
        made.rename(out)
    return out


def _engines(path: Path, wanted: list[tuple[str, str]]) -> None:
    """Builds engines beside a sealed bundle and puts each in. Killed at any moment, the bundle is sound: at worst it
    lacks an engine that was being replaced."""
    for target, precision in wanted:
        bundle = Bundle.load(path)
        with folder_beside(path) as temporary:
            made = temporary / "engine"
            build(bundle, made, target, precision)
            put_engine(path, f"{target}-{precision}", made)


def _preset(run: Path) -> Preset:
    for name in ("preset.json", "run.json", "golden.safetensors"):
        if not (run / name).is_file():
            raise DataError(f"lacks {name}", path=run, remedy="give a finished run folder of `maescan train`")
    preset = Preset.from_dict(json.loads((run / "preset.json").read_text()))
    needed = ["mae"] if preset.input != "image" else []
    for name in [*needed, *([preset.network] if preset.network else [])]:
        if not (run / f"{name}.safetensors").is_file():
            reason = f"its {name} is not trained yet"
            raise DataError(reason, path=run, remedy="run `maescan train` again to finish it")
    return preset


def _golden(run: Path, made: Path, preset: Preset) -> None:
    from safetensors.numpy import load_file, save_file

    from maescan.engines.eager import TorchEngine
    from maescan.method.score import score_slices

    given = load_file(run / "golden.safetensors")
    scored = score_slices(given["images"], given["slice_ids"], TorchEngine(run, preset), preset, maps=True)
    assert scored.difference is not None and scored.reconstruction is not None
    answers: dict[str, Any] = {
        "score": scored.score,
        "difference": scored.difference,
        "reconstruction": scored.reconstruction,
    }
    arrays = {name: np.ascontiguousarray(value) for name, value in {**given, **answers}.items()}
    save_file(arrays, made / "golden" / "golden.safetensors")
