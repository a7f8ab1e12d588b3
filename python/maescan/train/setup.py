"""What a run needs before its first step: patients held back, a device."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from maescan.config import ModelConfig, Preset
from maescan.config.training import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.datasets.sliceset import SliceSet
from maescan.errors import ConfigError, DataError, TrainingError
from maescan.method.tokens import air_level, choose_buckets, token_sets
from maescan.options import TrainOptions

Model = TypeVar("Model", bound=nn.Module)
PRECISIONS = {"32-true": "fp32", "bf16-mixed": "bf16"}
"""Fabric's names of them, and ours."""


def split(slices: SliceSet, preset: Preset, fraction: float, seed: int) -> tuple[SliceSet, SliceSet]:
    """(training, validation) of a SliceSet; training has its healthy slices only.

    The set's own split decides where it has one (LUNA16's is by row, as the paper's); others are disjoint by scan.
    Raises DataError for slices that do not fit the preset, and where no healthy slice is left.
    """
    size = preset.model.image_size
    if slices.images.shape[1:] != (size, size):
        raise DataError(
            f"slices are {slices.images.shape[1:]}, preset '{preset.name}' wants ({size}, {size})",
            remedy="prepare the data with this preset",
        )
    own = slices.split
    if own is not None and (np.asarray(own) == "train").any():
        training, validation = slices.select(np.asarray(own) == "train"), slices.select(np.asarray(own) == "val")
    elif own is not None and (np.asarray(own) != "").any():
        remedy = "put scans into the part 'train', or leave the parts out"
        raise DataError("no slice is in the part 'train' of the set's own split", remedy=remedy)
    elif len(np.unique(slices.subject)) > 1:
        training, validation = slices.split_patients(fraction, seed)
        if not len(training):
            reason = f"all {len(np.unique(slices.subject))} patients are held back for validation"
            raise DataError(reason, remedy="give a smaller --val-fraction, or more patients")
    else:
        training, validation = slices, slices.select(np.zeros(len(slices.images), bool))
    training = training.healthy()
    if len(training.images) == 0:
        raise DataError(
            "no healthy slices to train on", remedy="label slices without a lesion 0, or add healthy scans"
        )
    return training, validation


def with_tokens(training: SliceSet, preset: Preset) -> tuple[SliceSet, Preset]:
    """(training slices, preset) of foreground tokens: without the slices that have none, and with buckets chosen from
    the others where the preset has no own."""
    if preset.pseudo.where == "tissue" and preset.measure == "classifier":
        air_level(preset)  # raises before the MAE is trained, not after
    sets = token_sets(training.images, preset)
    if sets is None:
        return training, preset
    if not sets.count.any():
        raise DataError("every slice is air", remedy="check the preset's intensity")
    if not preset.tokens.buckets:
        preset = preset.replace(tokens__buckets=choose_buckets(sets.count, preset))
    return training.select(sets.count > 0), preset


def device_of(device: str, devices: int = 1) -> tuple[str, str]:
    """(cpu or cuda, its number where one is named). Raises ConfigError for a device that is not there."""
    here = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = (here if device == "auto" else device).partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise ConfigError(f"unknown device '{device}'", remedy="use auto, cpu, cuda or cuda:N")
    there = torch.cuda.device_count()
    if kind == "cuda" and there < max(devices, int(index or 0) + 1):
        remedy = "use --device cpu" if not there else f"GPUs that are: {there}"
        raise ConfigError(f"device '{device}' x {devices} is not here", remedy=remedy)
    return kind, index


def check_batches(preset: Preset, options: TrainOptions) -> None:
    """Raises ConfigError where a batch of what is to be trained does not divide: the last phase's would be refused
    when the others have been trained."""
    for name in ("mae", preset.network):
        if name and not (name == "mae" and preset.input == "image"):
            part: MaeTraining | ClassifierTraining | JudgeTraining = getattr(preset, name)
            check_divides(part.batch_size, options.devices * options.nodes * options.accumulate)


def check_divides(batch: int, parts: int) -> None:
    """Raises ConfigError where a batch does not divide into `parts`: processes times accumulated steps."""
    if batch % parts:
        reason = f"a batch of {batch} does not divide into {parts} parts"
        raise ConfigError(reason, remedy="of --accumulate, --devices and --nodes the product must divide it")


@contextlib.contextmanager
def _unhinted() -> Iterator[None]:
    """Without lightning's hint to use srun wherever there is one, as on a cluster's login node: `check_started` says
    when it is wanted. Decorates functions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        yield


@_unhinted()
def check_started(devices: int, nodes: int) -> None:
    """Raises ConfigError where there will not be the processes that are asked for: SLURM's tasks are the processes,
    and machines do not find each other by themselves."""
    from lightning_fabric.plugins.environments.lsf import LSFEnvironment
    from lightning_fabric.plugins.environments.mpi import MPIEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    total = devices * nodes
    if total > 1 and SLURMEnvironment.detect():
        tasks, here = (os.environ.get(f"SLURM_{name}") for name in ("NTASKS", "NTASKS_PER_NODE"))
        if (tasks, here) != (str(total), str(devices)):
            raise ConfigError(
                f"SLURM's tasks are {tasks}, {here or '?'} a node, not {total}, {devices} a node",
                remedy=f"start `maescan train` by `srun --nodes {nodes} --ntasks-per-node {devices}`, or, on one"
                " node, by `env -u SLURM_NTASKS`: then it starts its processes itself",
            )
        return
    launchers = (TorchElasticEnvironment, MPIEnvironment, LSFEnvironment)
    lacking = [name for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if nodes > 1 and lacking and not any(launcher.detect() for launcher in launchers):
        raise ConfigError(
            f"--nodes {nodes}: {', '.join(lacking)} not set, by which machines find each other",
            remedy=f"on each of them: NODE_RANK=0 (to {nodes - 1}) MASTER_ADDR=FIRST_MACHINE MASTER_PORT=29500"
            " maescan train ..., or use torchrun",
        )


@_unhinted()
def make_fabric(options: TrainOptions, config: ModelConfig) -> Any:
    """A launched Fabric. Raises ConfigError for a device that is not there: there is no silent fall-back."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    devices, nodes = options.devices, options.nodes
    kind, index = device_of(options.device, devices)
    check_started(devices, nodes)
    several = devices * nodes > 1
    alone = not several and SLURMEnvironment.detect()  # one process, whatever tasks a job has
    fabric = Fabric(
        accelerator=kind,
        devices=[int(index)] if index else devices,
        num_nodes=nodes,
        strategy="ddp" if several else "auto",
        precision=_precision(options.precision, kind, config),
        plugins=[LightningEnvironment()] if alone else None,
    )
    fabric.launch()
    return fabric


def first_process() -> bool:
    """Whether this process says what all of a training's would say alike."""
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)


@contextlib.contextmanager
def together(processes: int) -> Iterator[None]:
    """Raises TrainingError in a process that one of the others has left: that one says why it ended."""
    try:
        yield
    except RuntimeError as error:
        if processes > 1 and any(word in str(error) for word in ("Connection", "gloo", "NCCL")):
            remedy = "mend what that one says, and type the same command again: it goes on"
            raise TrainingError("another process of this training has ended", remedy=remedy) from error
        raise


def _precision(precision: str, kind: str, config: ModelConfig) -> Any:
    """bf16 where it is faster. On a CPU with AVX512-BF16: 1.9 times for ViT-Base with 196 tokens, equal with 16,
    0.65 times for `tiny`."""
    if precision == "auto" and kind == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    elif precision == "auto":
        big = config.encoder_dim >= 512 and config.tokens >= 64
        precision = "bf16" if big and torch.cpu._is_avx512_bf16_supported() else "fp32"
    for fabrics, name in PRECISIONS.items():
        if name == precision:
            return fabrics
    raise ConfigError(f"unknown precision '{precision}'", remedy="use auto, fp32 or bf16")


def build(kind: type[Model], seed: int, config: ModelConfig, **options: Any) -> Model:
    """A model whose first weights depend on `seed` alone."""
    torch.manual_seed(seed)
    return kind(config, **options)
