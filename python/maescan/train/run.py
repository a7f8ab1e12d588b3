"""`train`: the masked autoencoder, then the classifier, into one run folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import maescan
from maescan.config import Preset
from maescan.config.types import Json
from maescan.content import sha256
from maescan.datasets.samples import write_samples
from maescan.datasets.sliceset import SliceSet
from maescan.errors import ConfigError, DataError
from maescan.files import PARTIAL, write_json
from maescan.folders import Taken, taken
from maescan.method.intensity import training_ranges
from maescan.method.prints import training_prints
from maescan.models import Classifier, MaskedAutoencoder
from maescan.models.public import start_from_public
from maescan.models.weights import load_weights, save_weights
from maescan.options import TrainOptions
from maescan.train.choice import choose_measure, copies, tell
from maescan.train.folds import fit_judge
from maescan.train.loop import Progress, Trainer, TrainingRun
from maescan.train.pairs import Pairs, validation_inputs
from maescan.train.phases import ClassifierPhase, MaePhase
from maescan.train.setup import PRECISIONS, build, check_batches, make_fabric, split, together, with_tokens
from maescan.train.state import (
    Log,
    Position,
    check_whole,
    differences,
    earlier_of,
    kept_buckets,
    kept_precision,
    load_checkpoint,
    save_checkpoint,
    threads_of,
)

OURS = ("run.json", "log.csv", "mae.safetensors", "classifier.safetensors", "golden.safetensors", "checkpoint.pt",
        "quantisation.safetensors", "judge.safetensors", "residuals.json", "fold*.safetensors", "pairs.npy",
        "tensorboard/events.out.tfevents.*")  # fmt: skip


def train(
    slices: SliceSet,
    preset: Preset,
    out: Path,
    options: TrainOptions = TrainOptions(),
    *,
    mae: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Trains on the healthy slices of a SliceSet and returns `out`, the run folder.

    The folder gets preset.json, run.json, log.csv, mae.safetensors, golden.safetensors and, where the preset's
    measure needs it, classifier.safetensors or judge.safetensors. A preset whose name ends in + scores with the
    measure that finds lesions put into validation slices best: preset.json names it. `mae`: weights (a run's
    mae.safetensors) to take instead of training an MAE; with preset.input "image" there is none. Patients are held
    back for validation by the set's own split, or `val_fraction` of them. With `resume` a killed run goes on where it
    was, to the same weights.

    The preset's batch size counts all `devices`, `nodes` and `accumulate`d steps together, so that none of them
    changes the recipe. `compile` is for CUDA only. `progress` shows each phase. Two runs on as many CPU threads give
    the same bytes. Their number is part of the recipe: on another gradients are rounded otherwise, which training
    amplifies.

    Raises DataError without healthy slices or with wrong shapes, ConfigError for options that do not fit the
    machine or the folder's run, TrainingError when the loss is not finite.
    """
    check_batches(preset, options)
    training, validation = split(slices, preset, options.val_fraction, options.seed)
    if options.resume:
        options = replace(options, precision=kept_precision(Path(out), options.precision))
        preset = kept_buckets(Path(out), preset)
    training, preset = with_tokens(training, preset)
    fabric = make_fabric(options, preset.model)
    if options.compile and fabric.device.type != "cuda":
        raise ConfigError("compile is for CUDA devices", remedy="leave it off on this device")
    data = [training.fingerprint(), validation.fingerprint()]
    key = {"preset": preset.to_dict(), "seed": options.seed, "data": data}
    if mae is not None:
        key["mae"] = _hash(Path(mae))
    if options.init is not None:
        key["init"] = _hash(options.init)
    alone = taken(Path(out), "a training run", before=OURS) if fabric.is_global_zero else nullcontext()
    with (
        torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []),
        alone as folder,
        together(fabric.world_size),
    ):
        try_weights(preset, options, mae)
        run = _open(Path(out), fabric, key, options, folder, slices.taken)
        run.progress = progress
        if run.checkpoint is None or run.checkpoint["at"].phase != "done":
            if run.first:
                run.threads, run.earlier = _threads(run), _earlier(run)
                run.intensity = training_ranges(slices.images, slices.patient, training.patient)
                run.prints = {"salt": data[0], "scans": training_prints(training.images, training.patient, data[0])}
                tell(copies(validation, run.prints))
            _both(run, preset, training, validation, mae)
    return run.out


def _hash(weights: Path) -> str:
    try:
        return sha256(weights)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=weights, remedy="check the path") from error


def try_weights(preset: Preset, options: TrainOptions, mae: Path | None = None) -> None:
    """Raises DataError for given weights that do not fit, before scans are read, and before a run in the folder makes
    way for a new one."""
    if options.init is None and mae is None:
        return
    model = build(MaskedAutoencoder, options.seed, preset.model)
    if mae is not None:
        load_weights(mae, model)
    elif options.init is not None:
        start_from_public(model, options.init)


def _open(out: Path, fabric: Any, key: Json, options: TrainOptions, folder: Taken | None, data: str) -> TrainingRun:
    """The run of this folder: its checkpoint if it may go on, else an empty folder, which the first process has."""
    fabric.barrier()
    checkpoint = load_checkpoint(out / "checkpoint.pt", key) if options.resume else None
    if checkpoint is not None and checkpoint["at"].phase == "done":
        check_whole(out, Preset.from_dict(key["preset"]))
    if folder is not None:
        for left in out.glob(f"{PARTIAL}*"):
            left.unlink(missing_ok=True)
        if checkpoint is None:
            tell([folder.replaces] if folder.replaces else [])
            folder.replace(OURS, f"preset {key['preset']['name']}" + (f" on {data}" if data else ""))
        if checkpoint is None or checkpoint["at"].phase != "done":
            write_json(out / "preset.json", key["preset"])
    fabric.barrier()
    log = Log(out, tensorboard=options.tensorboard and fabric.is_global_zero)
    return TrainingRun(fabric, out, key, options, log, checkpoint)


def _threads(run: TrainingRun) -> tuple[int, ...]:
    """`state.threads_of` of the run; says so where it goes on with others, which leads to other weights."""
    now = torch.get_num_threads()
    threads = threads_of(run.out, now) if run.checkpoint else (now,)
    if len(threads) > 1 and run.fabric.device.type == "cpu":
        words = ", then ".join(str(count) for count in threads)
        tell([f"trained on {words} threads, which leads to other weights than {threads[0]} to the end "
              f"(OMP_NUM_THREADS={threads[0]} sets them)"])  # fmt: skip
    return threads


def _now(run: TrainingRun) -> Json:
    """What of a run may change while it goes on."""
    import timm

    versions = {"maescan": maescan.__version__, "torch": torch.__version__, "timm": timm.__version__}
    return {"versions": versions, "processes": run.fabric.world_size}


def _earlier(run: TrainingRun) -> tuple[Json, ...]:
    """`state.earlier_of` the run; says so where it goes on otherwise."""
    now = _now(run)
    earlier = earlier_of(run.out, now) if run.checkpoint else ()
    if earlier and (changed := differences(earlier[-1], {name: now[name] for name in earlier[-1]})):
        tell([f"goes on otherwise than it was trained so far, which may lead to other weights: {', '.join(changed)}"])
    return earlier


def _both(run: TrainingRun, preset: Preset, training: SliceSet, validation: SliceSet, weights: Path | None) -> None:
    """Each phase begins with what the one before it left in the folder."""
    at = run.checkpoint["at"] if run.checkpoint else Position("mae")
    _report(run, at, training, validation)
    mae = None
    if preset.input != "image":
        mae, at = _mae(run, preset, training, at, weights)
    if run.first:
        write_samples(run.out / "golden.safetensors", validation if len(validation.images) else training, 4)
        write_samples(run.out / "quantisation.safetensors", training, 64)
    if preset.network == "classifier":
        at = _classifier(run, preset, mae, training, validation, at.seconds)
    if preset.network == "judge" and mae is not None:
        at = fit_judge(run, preset, mae, training, validation, at.seconds)
    run.fabric.barrier()
    if run.first:
        chosen_measure = choose_measure(run, preset, validation)
        _report(run, at, training, validation, chosen_measure | {"phase": "done"})
        tell(chosen_measure["warnings"])
        save_checkpoint(run.out / "checkpoint.pt", run.key, replace(at, phase="done"))
        for left in (run.out / "pairs.npy", *run.out.glob("fold*.safetensors")):
            left.unlink(missing_ok=True)
    run.fabric.barrier()


def _mae(
    run: TrainingRun, preset: Preset, training: SliceSet, at: Position, weights: Path | None
) -> tuple[MaskedAutoencoder, Position]:
    """The MAE in eval mode: given, trained before, or trained now."""
    mae, own = build(MaskedAutoencoder, run.seed, preset.model), run.out / "mae.safetensors"
    if at.phase == "mae" and weights is None:
        if run.options.init is not None:
            tell([f"from {run.options.init}: {'; '.join(start_from_public(mae, run.options.init))}"])
        at = Trainer(run, MaePhase(mae, training.images, preset, run.seed)).fit()
    else:
        load_weights(own if weights is None else weights, mae)
    if run.first:
        save_weights(own, mae)
    return mae.to(run.fabric.device).eval(), at


def _classifier(
    run: TrainingRun,
    preset: Preset,
    mae: MaskedAutoencoder | None,
    training: SliceSet,
    validation: SliceSet,
    seconds: float,
) -> Position:
    classifier = build(Classifier, run.seed, preset.model, drop_path=preset.classifier.drop_path)
    if mae is not None:
        classifier.start_from(mae.state_dict())
    pairs = Pairs(run.fabric, run.out / "pairs.npy", mae, training.images, preset, run.seed)
    judged = validation_inputs(run.fabric, mae, validation, preset, run.seed)
    at = Trainer(run, ClassifierPhase(classifier, training.images, pairs, judged, preset, run.seed), seconds).fit()
    if run.first and at.best_epoch < 0:
        save_weights(run.out / "classifier.safetensors", classifier)
    return at


def _report(
    run: TrainingRun, at: Position, training: SliceSet, validation: SliceSet, choice: Json | None = None
) -> None:
    """run.json: what was trained on what, how far, and what was the `choice` at the end."""
    if not run.first:
        return
    values = {
        **_now(run),
        "earlier": run.earlier,
        "seed": run.seed,
        "data": run.key["data"],
        "taken": training.taken,
        "init": run.key.get("init"),
        "patients": {name: _patients(part) for name, part in (("train", training), ("val", validation))},
        "slices": {"train": len(training.images), "val": len(validation.images)},
        "intensity": run.intensity,
        "prints": run.prints,
        "device": str(run.fabric.device),
        "precision": PRECISIONS[run.fabric.strategy.precision.precision],
        "threads": run.threads,
        "phase": at.phase,
        "epochs": {"mae": run.key["preset"]["mae"]["epochs"], at.phase: at.epoch},
        "best": {"epoch": at.best_epoch, "val_auroc": at.best_auroc} if at.best_epoch >= 0 else None,
        "seconds": round(at.seconds, 1),
    }
    write_json(run.out / "run.json", values | (choice or {}))


def _patients(slices: SliceSet) -> list[str]:
    return sorted({str(patient) for patient in slices.patient})
