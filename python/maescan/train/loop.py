"""The training loop of both phases: any number of processes, resumable at every step."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maescan.config.types import Json
from maescan.errors import DataError, TrainingError
from maescan.method import draws
from maescan.method.prints import TrainingPrints
from maescan.models.weights import save_weights
from maescan.options import TrainOptions
from maescan.train import optimiser as optim
from maescan.train.phases import Ids, Phase
from maescan.train.setup import check_divides
from maescan.train.state import Log, Position, restore, save_checkpoint

Show = Callable[[int, float, float, float | None], None]
"""Called with the steps done, the mean loss since the last call, the learning rate and the validation's AUROC."""
Progress = Callable[[str, int], AbstractContextManager[Show]]
"""Given a phase's name and its steps, what shows them."""


@dataclass
class TrainingRun:
    """What the two phases share. `checkpoint` is the state to go on from; `key` says which run it belongs to;
    `intensity`: training's range of what a scan's values look like; prints: what knows its scans again; threads:
    `state.threads_of` it; earlier: `state.earlier_of` it."""

    fabric: Any
    out: Path
    key: Json
    options: TrainOptions
    log: Log
    checkpoint: Json | None = None
    log_steps: int = 20
    progress: Progress | None = None
    intensity: dict[str, list[float]] | None = None
    prints: TrainingPrints | None = None
    threads: tuple[int, ...] = ()
    earlier: tuple[Json, ...] = ()

    @property
    def seed(self) -> int:
        """Of all that is drawn at random."""
        return self.options.seed

    @property
    def accumulate(self) -> int:
        """Batches per step."""
        return self.options.accumulate

    @property
    def parts(self) -> int:
        """Into how many a batch is divided: processes times accumulated steps."""
        return self.fabric.world_size * self.accumulate

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.fabric.is_global_zero


class Trainer:
    """Trains one phase to its last epoch, from the run's checkpoint where that is of this phase."""

    def __init__(self, run: TrainingRun, phase: Phase, seconds: float = 0.0) -> None:
        """`seconds` is the time that earlier phases took."""
        self.run, self.phase = run, phase
        self.batch, self.steps = batches(phase.samples, phase.training.batch_size, run.parts)
        saved = run.checkpoint if run.checkpoint and run.checkpoint["at"].phase == phase.name else None
        self.at: Position = saved["at"] if saved else Position(phase.name, seconds=seconds)
        if saved:
            restore(saved, "model", phase.model, run.out)
        if run.first:
            run.log.resume(self.at, self.steps)
        adamw = optim.adamw(phase.groups(), phase.training.betas)
        model = torch.compile(phase.model) if run.options.compile else phase.model
        self.forward, self.optimiser = run.fabric.setup(model, adamw)
        if saved:
            restore(saved, "optimiser", self.optimiser, run.out)
        self.loss_sum = torch.tensor(self.at.loss_sum, dtype=torch.float64, device=run.fabric.device)
        self.saved_at = self.started = time.monotonic() - self.at.seconds

    def fit(self) -> Position:
        """Runs what is left. Raises TrainingError when the loss is not finite."""
        steps, progress = self.phase.training.epochs * self.steps, self.run.progress if self.run.first else None
        shown = progress(self.phase.name, steps) if progress else nullcontext()
        with shown as self.show, told_to_stop(self.run.fabric.world_size) as self.stop:
            while self.at.epoch < self.phase.training.epochs:
                self._epoch(self.at.epoch)
        self.at.seconds = time.monotonic() - self.started
        return self.at

    def _epoch(self, epoch: int) -> None:
        self.phase.start_epoch(epoch)
        self.phase.model.train()
        order = draws.order(self.run.seed, epoch, self.phase.samples)
        parts = [ids for step in range(self.at.step, self.steps) for ids in self._mine(order, step)]
        with closing(prefetch(self.phase, parts, epoch)) as loaded:
            for step in range(self.at.step, self.steps):
                self._step(loaded, epoch, step)
        self._judge()
        self.at.epoch, self.at.step = epoch + 1, 0
        self._save()

    def _mine(self, order: Ids, step: int) -> list[Ids]:
        """This process's parts of a step's batch, one for each accumulated step."""
        size = self.batch // self.run.parts
        start, world = step * self.batch, self.run.fabric.world_size
        places = [start + size * (i * world + self.run.fabric.global_rank) for i in range(self.run.accumulate)]
        return [order[place : place + size] for place in places]

    def _step(self, loaded: Iterator[tuple[Ids, tuple[Tensor, ...]]], epoch: int, step: int) -> None:
        run, t = self.run, self.phase.training
        at = epoch + step / self.steps
        peak, low = t.base_lr * self.batch / 256, getattr(t, "min_lr", 0.0)
        self.lr = optim.rate(at, peak=peak, low=low, warmup=t.warmup_epochs, epochs=t.epochs)
        optim.set_rate(self.optimiser, self.lr)
        for i in range(run.accumulate):
            part = i * run.fabric.world_size + run.fabric.global_rank
            torch.manual_seed(draws.seed_of(run.seed, epoch, draws.NOISE, step * run.parts + part))
            self._accumulate(*next(loaded), epoch, last=i == run.accumulate - 1)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.at.step, self.at.losses = step + 1, self.at.losses + 1
        run.log.samples += self.batch
        if (step + 1) % run.log_steps == 0 and step + 1 < self.steps:
            self._log()
        if self.stop.told or time.monotonic() - self.saved_at > run.options.checkpoint_s:
            self._save()
        if self.stop.told:
            signal.raise_signal(self.stop.told)

    def _accumulate(self, ids: Ids, batch: tuple[Tensor, ...], epoch: int, *, last: bool) -> None:
        fabric = self.run.fabric
        batch = tuple(part.to(fabric.device, non_blocking=True) for part in batch)
        waiting = nullcontext() if last else fabric.no_backward_sync(self.forward)
        with waiting:
            loss = self.phase.loss(self.forward, batch, ids, epoch) / self.run.accumulate
            fabric.backward(loss)
        self.loss_sum += loss.detach()

    def _log(self, auroc: float | None = None) -> None:
        mean = self._finite() / max(self.at.losses, 1)
        self.loss_sum.zero_()
        self.at.losses = 0
        step = self.at.epoch * self.steps + self.at.step
        if self.show:
            self.show(step, mean, self.lr, auroc)
        if self.run.first:
            self.run.log.row(self.at, step, mean, self.lr, auroc)

    def _finite(self) -> float:
        total = float(self.run.fabric.all_reduce(self.loss_sum.clone(), reduce_op="mean"))
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss is not finite in {self.at.phase} epoch {self.at.epoch}",
                remedy="lower base_lr, train with precision fp32, or look for extreme values in the data",
            )
        return total

    def _judge(self) -> None:
        """Ends an epoch: its row of the log, and the weights where validation is the best so far."""
        self._finite()
        if self.run.first:
            auroc = self._validate()
            if auroc is not None and auroc > self.at.best_auroc:
                self.at.best_auroc, self.at.best_epoch = auroc, self.at.epoch
                save_weights(self.run.out / f"{self.phase.name}.safetensors", self.phase.model)
        else:
            auroc = None
        self._log(auroc)

    def _validate(self) -> float | None:
        self.phase.model.eval()
        with self.run.fabric.autocast():
            return self.phase.validate()

    def _save(self) -> None:
        """A checkpoint, never of weights that a bad loss has spoilt."""
        if self.run.first and math.isfinite(float(self.loss_sum)):
            self.at.loss_sum, self.at.seconds = float(self.loss_sum), time.monotonic() - self.started
            parts = {"model": self.phase.model, "optimiser": self.optimiser}
            save_checkpoint(self.run.out / "checkpoint.pt", self.run.key, self.at, **parts)
        self.saved_at = time.monotonic()


class Stop:
    """The signal that a training was told to end by, once there was one."""

    told: int | None = None


@contextmanager
def told_to_stop(processes: int) -> Iterator[Stop]:
    """Takes SIGTERM, and SIGHUP of a terminal that is closed, where they would end the process at once: a scheduler,
    a machine's going down or a lost connection leaves time for a checkpoint. A second one ends it. Of several
    processes none would wait for the others."""
    stop, taken = Stop(), list[signal.Signals]()

    def handle(number: int, _: object) -> None:
        stop.told = number
        release()

    def release() -> None:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)

    if processes == 1 and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, handle)
                taken.append(number)
    try:
        yield stop
    finally:
        release()
        if stop.told:
            signal.raise_signal(stop.told)


def batches(samples: int, batch_size: int, parts: int) -> tuple[int, int]:
    """Batch size (of all parts together) and steps per epoch; the remainder of an epoch is left out, as He et al.

    Raises ConfigError when the batch does not divide into `parts`, DataError when the samples do not fill one.
    """
    check_divides(batch_size, parts)
    batch = min(batch_size, samples // parts * parts)
    if batch == 0:
        raise DataError(f"{samples} samples are too few to train on", remedy="add healthy scans")
    return batch, samples // batch


def prefetch(phase: Phase, parts: list[Ids], epoch: int) -> Generator[tuple[Ids, tuple[Tensor, ...]], None, None]:
    """Batches in order, the next one made in a thread while the model works on this one."""
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for ids in parts:
            ahead = thread.submit(phase.batch, ids, epoch)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = ids, ahead
        if waiting is not None:
            yield waiting[0], waiting[1].result()
