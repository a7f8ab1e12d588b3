"""Checkpoint -> bundle: weights, engines, and golden answers that prove them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from maescan import __version__
from maescan.bundle import seal
from maescan.config import Preset
from maescan.errors import ConfigError, DataError
from maescan.scoring.outputs import write_json

TARGETS = {"openvino": ("fp32", "bf16")}


def export(
    run: Path, out: Path, *, to: tuple[str, ...] = ("openvino",), precision: tuple[str, ...] = ("fp32",)
) -> Path:
    """A bundle at `out` from a run folder of `maescan train`; it appears whole or not at all.

    Raises ConfigError for an unknown target or precision, DataError for an unfinished run or an existing `out`.
    """
    for target in to:
        for name in precision:
            if name not in TARGETS.get(target, ()):
                known = "; ".join(f"{t}: {', '.join(p)}" for t, p in TARGETS.items())
                raise ConfigError(f"cannot export to {target} in {name}", remedy=f"known are {known}")
    run, out = Path(run), Path(out)
    preset = _preset(run)
    if out.exists():
        raise DataError("exists already", path=out, remedy="choose another --out or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out.parent) as temporary:
        made = Path(temporary) / "bundle"
        (made / "golden").mkdir(parents=True)
        provenance = json.loads((run / "run.json").read_text())
        for name in ("mae.safetensors", "classifier.safetensors"):
            if (run / name).exists():
                shutil.copyfile(run / name, made / name)
        _golden(run, made, preset)
        for target in to:
            for name in precision:
                _engine(made, preset, target, name)
        seal(made, preset, provenance, calibration=None, intensity=provenance.get("intensity"))
        made.rename(out)
    return out


def _preset(run: Path) -> Preset:
    needed = ("preset.json", "run.json", "mae.safetensors", "golden.safetensors")
    for name in needed:
        if not (run / name).is_file():
            raise DataError(f"lacks {name}", path=run, remedy="give a finished run folder of `maescan train`")
    preset = Preset.from_dict(json.loads((run / "preset.json").read_text()))
    if preset.measure == "classifier" and not (run / "classifier.safetensors").is_file():
        raise DataError(
            "its classifier is not trained yet", path=run, remedy="run `maescan train` again to finish it"
        )
    return preset


def _golden(run: Path, made: Path, preset: Preset) -> None:
    from safetensors.numpy import load_file, save_file

    from maescan.evaluate.torch_engine import TorchEngine
    from maescan.scoring.steps import score_slices

    given = load_file(run / "golden.safetensors")
    scored = score_slices(given["images"], given["slice_ids"], TorchEngine(run, preset), preset, maps=True)
    assert scored.difference is not None and scored.reconstruction is not None
    answers = {"score": scored.score, "difference": scored.difference, "reconstruction": scored.reconstruction}
    save_file(
        {k: np.ascontiguousarray(v) for k, v in {**given, **answers}.items()}, made / "golden" / "golden.safetensors"
    )


def _engine(made: Path, preset: Preset, target: str, precision: str) -> None:
    import openvino

    from maescan.evaluate.torch_engine import TorchEngine
    from maescan.export.openvino import convert

    models: Any = TorchEngine(made, preset)
    folder = made / "engines" / f"{target}-{precision}"
    convert(folder, models.mae, models.classifier, preset)
    versions = {"maescan": __version__, "openvino": openvino.__version__}
    write_json(folder / "engine.json", {"target": target, "precision": precision, "versions": versions})
