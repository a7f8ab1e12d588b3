"""What a run leaves in its folder so that it can go on after a kill: checkpoint and log, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maescan.config import Preset
from maescan.config.types import Json
from maescan.errors import ConfigError, DataError
from maescan.files import atomic_file, make_folder, written_into
from maescan.folders import as_folder
from maescan.models.weights import load_plain, save_plain
from maescan.records import Record, check, read, whole_rows

SHOWN = ("loss", "lr", "samples_per_s", "val_auroc")
COLUMNS = ("phase", "epoch", "step", *SHOWN)


@dataclass
class Position:
    """Where a run stands: `step` steps of `epoch` are done. Losses are those since the last row of the log."""

    phase: str
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    losses: int = 0
    best_auroc: float = -1.0
    best_epoch: int = -1
    seconds: float = 0.0


class Meta(Record, frozen=True):
    """What a checkpoint holds beside tensors."""

    key: dict[str, object]
    at: Position


class Began(Record, frozen=True):
    """What of run.json a run that goes on must share or tell; None, (): of an older maescan, which did not say it."""

    precision: str | None = None
    threads: tuple[int, ...] = ()
    processes: int | None = None
    versions: dict[str, str] | None = None
    earlier: tuple[dict[str, object], ...] = ()
    seed: int | None = None


ANOTHER = "use another --out, or add --no-resume to start afresh"
SLICES = "set of slices (scans, labels, split, --val-fraction, a cache or its folder)"
HASHES = {"data": SLICES, "mae": "MAE", "init": "--init"}
NAMED, WIDE = 6, 60
"""How many fields a message names, and how much of their values."""
DAMAGED = "put back a copy of it, or remove checkpoint.pt there to train from the start"


def save_checkpoint(path: Path, key: Json, at: Position, **parts: Any) -> None:
    """Position and the state of `parts`; `key` says which run this is. No random state: draws go by position."""
    save_plain(path, {"key": key, "at": asdict(at), **{name: part.state_dict() for name, part in parts.items()}})


def load_checkpoint(path: Path, key: Json) -> Json | None:
    """The checkpoint, or None where there is none. Raises ConfigError when another run left it, DataError where it
    is damaged."""
    if not path.exists():
        return None
    state: Json = dict(check(dict[str, object], load_plain(path, DAMAGED), path=path, remedy=DAMAGED))
    meta = check(Meta, {name: state.get(name) for name in ("key", "at")}, path=path, remedy=DAMAGED)
    _check_same(path.parent, meta.key, key)
    return {**state, "at": meta.at}


def check_whole(out: Path, preset: Preset) -> None:
    """Raises DataError where a run that has ended lacks what `maescan export` takes of it: nothing is trained any
    more that would write it."""
    weights = ["mae"] * (preset.input != "image") + [preset.network] * (preset.network is not None)
    files = ["run.json", "preset.json", "golden.safetensors", *(f"{name}.safetensors" for name in weights)]
    if lost := [name for name in files if not (out / name).is_file()]:
        raise DataError(f"its training has ended, and {', '.join(lost)} of it is gone", path=out, remedy=DAMAGED)


def _check_same(out: Path, before: Json, now: Json) -> None:
    if other := differences(_with_defaults(before), _with_defaults(now)):
        more = f", and {len(other) - NAMED} more" if len(other) > NAMED else ""
        reason = f"the folder holds a run with another {', '.join(other[:NAMED])}{more}"
        raise ConfigError(reason, path=out, remedy=ANOTHER)


def _with_defaults(key: Json) -> Json:
    """A key whose preset has the fields that came after the maescan that wrote it: their defaults are what it did."""
    before = key.get("preset")
    try:
        return {**key, "preset": Preset.from_dict(before).to_dict()} if isinstance(before, dict) else key
    except ConfigError:  # of another maescan, or of none: it differs
        return key


def check_asked(out: Path, preset: Preset, seed: int) -> None:
    """Raises what `load_checkpoint` would for a preset or a seed that is not that of the folder's run, as far as can
    be told before the slices are read."""
    files = [out / name for name in ("checkpoint.pt", "preset.json", "run.json")]
    if not all(file.exists() for file in files):
        return
    before, now = read(dict[str, object], files[1], remedy=DAMAGED), kept_buckets(out, preset).to_dict()
    if preset.name.endswith("+"):
        now["measure"] = before.get("measure")  # chosen at the end
    began = read(Began, files[2], remedy=DAMAGED).seed
    _check_same(out, {"preset": before, "seed": began}, {"preset": now, "seed": seed if began is not None else None})


def differences(old: Json, new: Json, within: str = "") -> list[str]:
    """Fields by their names with what was and what is asked for now; of hashes the name alone.

    >>> differences({"init": "1f", "preset": {"mae": {"epochs": 3}}}, {"init": "2", "preset": {"mae": {"epochs": 5}}})
    ['--init', 'preset.mae.epochs (3 -> 5)']
    """
    found = []
    for name in sorted({*old, *new}, key=lambda name: (name != "name", str(name))):
        one, two = old.get(name), new.get(name)
        if isinstance(one, dict) and isinstance(two, dict):
            found += differences(one, two, f"{within}{name}.")
        elif one != two:
            values = f"{within}{name} ({str(one)[:WIDE]} -> {str(two)[:WIDE]})"
            found.append(values if within else HASHES.get(name, values))
    return found


def kept_buckets(out: Path, preset: Preset) -> Preset:
    """The preset with the buckets that a folder's run chose from its slices: another maescan may choose others."""
    file, own = out / "preset.json", preset.tokens
    if own.buckets or not ((out / "checkpoint.pt").exists() and file.exists()):
        return preset
    tokens = read(dict[str, object], file, remedy=DAMAGED).get("tokens")
    if isinstance(tokens, dict) and tokens.get("method") == own.method and isinstance(tokens.get("buckets"), list):
        return preset.replace(tokens__buckets=tuple(tokens["buckets"]))
    return preset


def kept_precision(out: Path, asked: str) -> str:
    """What "auto" means in a folder that holds a run: that run's precision. Raises ConfigError for another one, which
    would lead to other weights."""
    if not ((out / "checkpoint.pt").exists() and (out / "run.json").exists()):
        return asked
    before = read(Began, out / "run.json", remedy=DAMAGED).precision
    if asked not in ("auto", before or asked):
        reason = f"the folder holds a run with another precision ({before} -> {asked})"
        raise ConfigError(reason, path=out, remedy=f"leave --precision out, {ANOTHER}")
    return before or asked


def threads_of(out: Path, now: int) -> tuple[int, ...]:
    """The counts of threads that a folder's run was trained on, in their order, the last `now`."""
    file = out / "run.json"
    began = read(Began, file, remedy=DAMAGED).threads if file.exists() else ()
    return began if began[-1:] == (now,) else (*began, now)


def earlier_of(out: Path, now: Json) -> tuple[dict[str, object], ...]:
    """What of `now` was otherwise when earlier parts of a folder's run were trained, the oldest first."""
    file = out / "run.json"
    began = read(Began, file, remedy=DAMAGED) if file.exists() else Began()
    was = {name: getattr(began, name) for name in now}
    other = {name: value for name, value in was.items() if value not in (None, now[name])}
    return (*began.earlier, other) if other else began.earlier


def restore(state: Json, name: str, part: Any, out: Path) -> None:
    """Gives a part its state in a checkpoint of the folder `out`. Raises DataError where it is not that part's."""
    try:
        part.load_state_dict(state[name])
    except Exception as error:  # whatever torch stumbles over
        first = (str(error).splitlines() or [""])[0][:200]
        reason = f"its {name} is not that of this run: {type(error).__name__} {first}"
        raise DataError(reason, path=out / "checkpoint.pt", remedy=DAMAGED) from None


class Log:
    """log.csv, and TensorBoard's events of the same rows beside it where it is installed."""

    def __init__(self, out: Path, *, tensorboard: bool = True) -> None:
        self.path, self.started, self.samples = out / "log.csv", time.monotonic(), 0
        self.events: Path | None = out / "tensorboard" if tensorboard else None
        self.writer: Events | None = None

    def resume(self, at: Position, steps: int) -> None:
        """Drops the rows that come after `at`, of a phase with `steps` steps per epoch."""
        logged: list[Logged] = []
        if self.path.exists():
            done = at.epoch * steps + at.step
            logged = [row for row in whole_rows(Logged, self.path) if _kept(row, at.phase, done)]
        with atomic_file(self.path) as temporary, temporary.open("w", newline="") as file:
            rows = [[getattr(row, name) for name in COLUMNS] for row in logged]
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        if self.writer is None and self.events is not None:
            self._show(self.events, logged)

    def _show(self, folder: Path, logged: list[Logged]) -> None:
        """Events of these rows alone: what a killed run wrote after its checkpoint would stand there twice. Without
        TensorBoard those of before stay."""
        with contextlib.suppress(ImportError):
            self.writer = Events(folder)
        for row in logged:
            self._add(row.phase, row.step, {name: getattr(row, name) for name in SHOWN})

    def _add(self, phase: str, step: int, values: Mapping[str, str | float | None]) -> None:
        for name, value in values.items():
            if self.writer is not None and value not in ("", None):
                self.writer.add(f"{phase}/{name}", float(value), step)

    def row(self, at: Position, step: int, loss: float, lr: float, auroc: float | None = None) -> None:
        """One row; `step` counts from the phase's start."""
        now = time.monotonic()
        speed, self.started, self.samples = self.samples / max(now - self.started, 1e-9), now, 0
        shown = "" if auroc is None else f"{auroc:.6f}"
        with written_into(self.path), self.path.open("a", newline="") as file:
            row = [at.phase, at.epoch, step, f"{loss:.8g}", f"{lr:.6g}", f"{speed:.1f}", shown]
            csv.writer(file, lineterminator="\n").writerow(row)
        self._add(at.phase, step, dict(zip(SHOWN, (loss, lr, speed, auroc), strict=True)))


class Logged(Record, frozen=True):
    """A row of log.csv; numbers as they were written."""

    phase: str
    epoch: str
    step: int
    loss: str
    lr: str
    samples_per_s: str
    val_auroc: str


def _kept(row: Logged, phase: str, done: int) -> bool:
    if place(row.phase) > place(phase):
        return False
    return row.phase != phase or row.step <= done


def place(phase: str) -> int:
    """Where a phase stands in the order of a run: mae, fold0, fold1, ..., classifier or judge, done."""
    order = {"mae": -1, "classifier": 1000, "judge": 1000, "done": 1001}
    number = phase.removeprefix("fold")
    return order.get(phase, int(number) if number.isdigit() else 1002)


class Events:
    """Rows as TensorBoard shows them, in a new file in place of those of before. Its own writer has a thread, which
    ends with a traceback where a disk is full. Raises ImportError without TensorBoard, DataError where the folder
    cannot be written."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._records = Event, RecordWriter
        self._file = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.0"
        with written_into(folder):
            make_folder(folder)
            for left in folder.glob("events.out.tfevents.*"):
                left.unlink()
        self._write(file_version="brain.Event:2")

    def add(self, tag: str, value: float, step: int) -> None:
        """One value, on disk at once."""
        self._write(step=step, summary={"value": [{"tag": tag, "simple_value": value}]})

    def _write(self, **facts: object) -> None:
        event = self._event(wall_time=time.time(), **facts).SerializeToString()
        with written_into(self._file), open(self._file, "ab", buffering=0, opener=as_folder) as stream:
            self._records(stream).write(event)
