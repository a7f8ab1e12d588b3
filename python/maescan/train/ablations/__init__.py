"""`maescan ablate`: train what a table of the paper needs, judge it, print the paper's table beside ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maescan.config import ClassifierTraining, JudgeTraining, MaskConfig, Preset, PseudoConfig
from maescan.config.types import Json
from maescan.content import read_content
from maescan.datasets.sliceset import SliceSet
from maescan.decimals import rounded
from maescan.errors import escaped, installing
from maescan.evaluate.output import EVALUATION
from maescan.evaluate.run import evaluate_slices
from maescan.files import claim, printable, write_json, write_text
from maescan.folders import taken
from maescan.options import EvaluateOptions, TrainOptions
from maescan.records import read
from maescan.train.ablations.experiments import Row, experiment
from maescan.train.ablations.folds import Fold, make_folds
from maescan.train.ablations.rivals import fitted, judge_rival, size_for
from maescan.train.ablations.tables import numbers, text
from maescan.train.loop import Progress
from maescan.train.rivals import RIVALS, installed
from maescan.train.setup import device_of

MANY = 5


@dataclass(frozen=True, kw_only=True)
class Design:
    """How often every row is trained, and on what: seeds, folds as in `folds.make_folds`, BraTS's modality. batch: of
    judging."""

    seeds: Sequence[int] = (0,)
    folds: int | None = None
    modality: str | None = None
    device: str = "auto"
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class Told:
    """Who is told: progress shows trainings, say gets what is replaced and which scans are taken, result every
    result."""

    progress: Progress | None = None
    say: Callable[[str], None] | None = None
    result: Callable[[str], None] | None = None


def ablate(
    data: SliceSet | Path | str,
    name: str,
    preset: Preset,
    out: Path,
    design: Design = Design(),
    told: Told = Told(),
) -> Json:
    """Runs the experiment `name` (`experiments.NAMES`) and returns its table; writes it to `out`/NAME.json and .md.

    `data`: a SliceSet or a path for `datasets.load`. Every row is trained and
    judged once per seed and fold. `out`/runs and `out`/results are kept: a killed run goes on, rows and experiments
    that share an MAE train it once, what was judged is not judged again.

    Raises ConfigError for another experiment, DataError for data that cannot be split or judged.
    """
    from maescan import datasets

    chosen = experiment(name, preset)
    if name == "rivals" and len(installed()) < len(RIVALS):
        _tell(told, installing("rivals on ImageNet features are left out: pip install 'maescan[rivals]' brings them"))
    files = [f"{name}.json", f"{name}.md"]
    with taken(Path(out), "ablations", before=files, name=f"written-{name}") as run:
        device_of(design.device)
        about = f"preset {preset.name}" + (f" on {data}" if isinstance(data, str | Path) else "")
        own = run.replaces.endswith(escaped(printable(f": {about}")))  # as far as names tell
        _tell(told, "" if own else run.replaces)
        if isinstance(data, str | Path):
            data = datasets.load(Path(data), preset, modality=design.modality, listen=told.say)
        runner = AblationRunner(Path(out), make_folds(data, design.folds), design, told)
        runner.stressed, seeds = chosen.stressed, list(design.seeds)
        metrics: list[list[list[Json]]] = [
            [[runner.judged(row, seed, fold) for fold in runner.folds] for seed in seeds] for row in chosen.rows
        ]
        result = {"experiment": name, "preset": preset.name, **numbers(chosen, metrics, seeds, runner.folds)}
        result["left_out"] = [scan._asdict() for scan in data.left_out]
        made, table = text(result), Path(out) / f"{name}.md"
        _tell(told, run.replaces if own and _text_of(table) not in ("", made) else "")
        run.replace(files, about)
        write_json(runner.out / f"{name}.json", result)
        write_text(table, made)
    return result


def _tell(told: Told, line: str) -> None:
    if line and told.say:
        told.say(line)


def _text_of(file: Path) -> str:
    return read_content(file).decode(errors="replace") if file.is_file() else ""


class AblationRunner:
    """Runs and results in one folder, each named by a hash of all that decides it."""

    def __init__(self, out: Path, folds: list[Fold], design: Design, told: Told = Told()):
        self.out, self.folds, self.device, self.batch = out, folds, design.device, design.batch
        self.progress, self.result, self.stressed = told.progress, told.result, 0
        self.data = {fold.name: [fold.train.fingerprint(), fold.test.fingerprint()] for fold in folds}

    def judged(self, row: Row, seed: int, fold: Fold) -> Json:
        """The metrics of a row trained with `seed` on the fold, from `out`/results where they are there."""
        folder = self.out / "results" / self._name(row.preset, seed, fold, row.rival, self.stressed)
        if not (folder / "metrics.json").exists():
            metrics = self._rival(row, seed, fold, folder) if row.rival else self._own(row, seed, fold, folder)
            if self.result:
                self.result(f"{folder.name}: AUROC {rounded(metrics['slice']['auroc'])}")
        remedy = f"remove {folder} to evaluate again"
        return dict(read(dict[str, object], folder / "metrics.json", remedy=remedy))

    def _own(self, row: Row, seed: int, fold: Fold, folder: Path) -> Json:
        from maescan.engines.eager import TorchEngine

        run = self.trained(row.preset, seed, fold)
        preset = run_preset(run, row.preset)
        model = {"seed": seed, "fold": fold.name}
        options = EvaluateOptions(batch=self.batch, stressed=self.stressed, draw=False)
        return evaluate_slices(fold.test, TorchEngine(run, preset, self._device()), preset, folder, model, options)

    def _rival(self, row: Row, seed: int, fold: Fold, folder: Path) -> Json:
        claim(folder, EVALUATION)
        size = size_for(row.preset, seed, self._device())
        known = fitted(str(row.rival), fold.train.healthy(), size)
        metrics = judge_rival(known, fold.test, row.preset, self.stressed)
        write_json(folder / "metrics.json", metrics)
        return metrics

    def trained(self, preset: Preset, seed: int, fold: Fold) -> Path:
        """The run folder of a preset: its MAE is trained in a folder of its own, that others share."""
        from maescan.train import train

        few = len(np.unique(fold.train.patient)) < MANY  # none to spare for validation: the last epoch is taken
        share = 0.0 if few else 0.2
        options = TrainOptions(seed=seed, device=self.device, tensorboard=False, val_fraction=share)
        shared = None
        if preset.input != "image":
            part = mae_part(preset)
            shared = train(
                fold.train, part, self.out / "runs" / self._name(part, seed, fold), options, progress=self.progress
            )
        if preset.network is None and shared is not None:
            return shared
        weights = shared / "mae.safetensors" if shared else None
        return train(
            fold.train,
            preset,
            self.out / "runs" / self._name(preset, seed, fold),
            options,
            mae=weights,
            progress=self.progress,
        )

    def _name(self, preset: Preset, seed: int, fold: Fold, rival: str | None = None, stressed: int = 0) -> str:
        """Of a run, or of a result that may be a rival's and may have been stressed."""
        judged = [rival, stressed] if rival or stressed else []
        key = json.dumps([preset.to_dict(), seed, self.data[fold.name], *judged], sort_keys=True)
        kind: str = preset.measure if preset.measure != "classifier" else preset.input
        if rival:
            kind = rival.replace(", ", "-").replace(" ", "-").lower()
        return f"{kind}-seed{seed}-{fold.name.replace(' ', '')}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def _device(self) -> str:
        import torch

        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


def run_preset(run: Path, preset: Preset) -> Preset:
    """The preset with the measure that its training chose (a name that ends in +)."""
    if not preset.name.endswith("+") or preset.network is None:
        return preset
    return preset.replace(measure=read(dict[str, object], run / "preset.json", remedy=f"remove {run}")["measure"])


def mae_part(preset: Preset) -> Preset:
    """The preset with all that the training of its MAE does not see at its default: equal parts, equal MAE."""
    return preset.replace(
        measure="mse",
        input="l1",
        masks=MaskConfig(ratio=preset.masks.ratio, paste=preset.masks.ratio > 0),
        pseudo=PseudoConfig(),
        classifier=ClassifierTraining(),
        judge=JudgeTraining(),
    )
