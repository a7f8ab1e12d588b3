"""Options as types: each is declared once, with its help and limits, and the command line is built from them."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import numbers
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from maescan.content import sha256
from maescan.errors import ConfigError, DataError, given_path

Fault = Literal[
    "missing-slices", "duplicate-slices", "irregular-spacing", "tilt", "shear", "localizer", "modality", "labels"
]
FAULTS: frozenset[Fault] = frozenset(get_args(Fault))
"""What is refused unless it is accepted: by readers; modality: scans of a kind that the bundle does not judge get
p-values and alerts; labels: what looks like a label map is scored."""

LARGEST_SEED = 2**32 - 1
"""What every generator at hand takes."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

T = TypeVar("T")


def parse_bytes(text: object) -> int:
    """A size in bytes: 1024, 200M, 1.5G, of powers of ten as disks are sold by. Raises ConfigError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)B?", str(text).strip(), re.IGNORECASE)
    if not found:
        raise ConfigError(f"'{text}' is no size", remedy="use a number with K, M, G or T, for example 200M")
    return int(float(found[1]) * UNITS[found[2].upper()])


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One option of the command line. name: as it is typed, without dashes; default: the field's name and type."""

    help: str
    name: str = ""
    kind: type | None = None
    default: object = dataclasses.MISSING
    minimum: float | None = None
    maximum: float | None = None

    def allows(self, value: float) -> bool:
        """Whether a number lies within the limits; what is infinite or none never does."""
        low, high = self.minimum, self.maximum
        return abs(value) < math.inf and (low is None or low <= value) and (high is None or value <= high)

    @property
    def limits(self) -> str:
        """What a number may be, for people."""
        least = "a finite number" if self.minimum is None else f"a finite number, at least {self.minimum:g}"
        return least if self.maximum is None else f"from {self.minimum} to {self.maximum}"


def option(
    default: T,
    help: str,
    *,
    name: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    text: tuple[type, object, Callable[..., T]] | None = None,
) -> T:
    """A field of an `Options` type. minimum, maximum: its limits, both allowed.

    name: of its flag where the field's own does not do. text: type and default of what is typed where that is not the
    field's own, and what makes the value of it."""
    kind, typed, parse = text or (None, default, None)
    own = Flag(help=help, name=name, kind=kind, default=typed, minimum=minimum, maximum=maximum)
    made: T = field(default=default, metadata={"flags": (own,), "parse": parse})
    return made


def several(default: T, *flags: Flag, parse: Callable[..., T]) -> T:
    """A field that several flags decide on, which `parse` is given by name."""
    made: T = field(default=default, metadata={"flags": flags, "parse": parse})
    return made


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all. Raises ConfigError for a value of another type than its field's, or outside its limits."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            flags = item.metadata.get("flags", ())
            name = (flags and flags[0].name) or item.name.replace("_", "-")
            value = _taken(hints[item.name], getattr(self, item.name), name)
            object.__setattr__(self, item.name, value)
            for flag in flags:
                if isinstance(value, int | float) and not flag.allows(value):
                    raise ConfigError(f"--{name} {value} is out of range", remedy=f"it is {flag.limits}")

    def to_json(self) -> dict[str, Any]:
        """The values as JSON has them, for run.json."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _taken(hint: type, value: object, name: str) -> object:
    """`value` as its field's type: a number of numpy is one, a list several texts, a text not. Raises ConfigError."""
    for kind in get_args(hint) if type(None) in get_args(hint) else (hint,):
        with contextlib.suppress(TypeError, ValueError):
            return _as(kind, value)
    words = str(hint) if get_args(hint) else hint.__name__
    reason = f"--{name} cannot be {str(value)[:80]!r}, a {type(value).__name__}"
    raise ConfigError(reason, remedy=f"its type: {words}")


def _as(kind: type, value: object) -> object:
    """Raises TypeError or ValueError where `value` is none of its type, and cannot stand for one."""
    texts = get_origin(kind)
    if isinstance(value, bool) != (kind is bool) or (texts and isinstance(value, str)):
        raise TypeError
    if texts and {*map(type, made := texts(value))} <= {str}:
        return made
    if not texts and isinstance(value, kind):
        return value
    if issubclass(kind, tuple) and isinstance(value, tuple):  # a pair where one with names is meant
        return kind(*value)
    if kind is int:
        return operator.index(value)  # type: ignore[arg-type]
    if kind is Path or (kind is float and isinstance(value, numbers.Real)) or kind in enum.StrEnum.__subclasses__():
        return kind(value)  # type: ignore[arg-type]
    raise TypeError


def _plain(value: object) -> Any:
    if isinstance(value, Options | CandidateTable | LungTiles):
        return value.to_json()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class EngineOptions(Options):
    """Which of a bundle's engines scores, and where."""

    device: str = option("cpu", "cpu, gpu or cuda:N: that one, or an error. auto: a GPU if one can, and says so.")
    precision: str | None = option(None, "fp32, bf16, int8, fp16; default: the bundle's own choice.")
    target: str | None = option(None, "Of several engines the one for this: openvino, tensorrt-rtx, onnx and so on.")
    threads: int | None = option(None, "CPU threads; default: all that this process may use.", minimum=1)
    trust: bool = option(False, "Also run TorchScript engines, which can run any code.")


@dataclass(frozen=True)
class CandidateTable:
    """CT: the patches around the rows of a candidates.csv (seriesuid,coordX,coordY,coordZ,class; LPS mm)."""

    path: Path
    sha256: str

    @classmethod
    def read(cls, path: str | Path) -> CandidateTable:
        """Raises DataError where it cannot be read."""
        table = given_path(path, "a table of candidates")
        try:
            return cls(table, sha256(table))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=table, remedy="check the path") from error

    def to_json(self) -> dict[str, Any]:
        """What `regions_of` reads."""
        return {"candidates": str(self.path), "sha256": self.sha256}


@dataclass(frozen=True)
class LungTiles:
    """CT: overlapping tiles of the lungs."""

    def to_json(self) -> dict[str, Any]:
        """What `regions_of` reads."""
        return {"tile": True}


def regions_of(values: Mapping[str, Any] | None) -> CandidateTable | LungTiles | None:
    """Regions of what JSON has of them. Raises ConfigError for what are none."""
    if values is None:
        return None
    if not isinstance(values, Mapping) or not values.keys() & {"tile", "candidates"}:
        raise ConfigError("holds regions that are none", remedy="score again")
    return LungTiles() if values.get("tile") else CandidateTable(Path(values["candidates"]), values["sha256"])


def parse_regions(candidates: Path | None, tile: bool) -> CandidateTable | LungTiles | None:
    """Raises ConfigError for both."""
    if candidates and tile:
        raise ConfigError("--candidates and --tile are two ways", remedy="choose one")
    return CandidateTable.read(candidates) if candidates else LungTiles() if tile else None


def parse_accept(text: str) -> frozenset[str]:
    """Names of faults, comma-separated.

    >>> sorted(parse_accept("tilt, shear"))
    ['shear', 'tilt']
    """
    return frozenset(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class ReadOptions(Options):
    """How scans are read. Raises ConfigError for a fault that has no such name."""

    volume: int | None = option(None, "Which volume of a 4-D scan, from 0.", minimum=0)
    accept: frozenset[str] = option(
        frozenset(), "Faults to accept, comma-separated; `inspect` names them.", text=(str, "", parse_accept)
    )
    regions: CandidateTable | LungTiles | None = several(
        None,
        Flag(name="candidates", kind=Path, default=None, help="CT: score the patches around a table's rows."),
        Flag(name="tile", kind=bool, default=False, help="CT: score overlapping tiles of the lungs."),
        parse=parse_regions,
    )
    limit_s: float = option(600.0, "Seconds that reading one scan may take.", name="limit-seconds", minimum=0.0)
    limit_memory_gb: float | None = option(
        None,
        "GB of memory that a scan may take; default: a quarter of the machine.",
        name="limit-memory",
        minimum=0.1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := ", ".join(sorted(set(self.accept) - FAULTS)):
            raise ConfigError(f"cannot accept '{unknown}'", remedy=f"use {', '.join(sorted(FAULTS))}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReadOptions:
        """What `to_json` made."""
        regions = regions_of(values["regions"])
        return cls(**{**values, "accept": frozenset(values["accept"]), "regions": regions})

    def key(self) -> dict[str, Any]:
        """What changes a score."""
        values = self.to_json()
        del values["limit_s"], values["limit_memory_gb"]
        values["accept"] = [fault for fault in values["accept"] if fault not in ("modality", "labels")]
        if isinstance(self.regions, CandidateTable):
            values["regions"] = {"candidates": self.regions.sha256}
        return values


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """How a run is trained; what it learns is the preset's. checkpoint_s: seconds between checkpoints."""

    seed: int = option(0, "Seed of all that is drawn at random.", minimum=0, maximum=LARGEST_SEED)
    device: str = option("auto", "auto, cpu or cuda.")
    devices: int = option(1, "Processes, one per GPU.", minimum=1)
    nodes: int = option(1, "Machines.", minimum=1)
    precision: str = option("auto", "fp32, bf16 or auto: bf16 where it is faster.")
    accumulate: int = option(1, "Batches per step: gradient accumulation.", minimum=1)
    compile: bool = option(False, "torch.compile (GPU).")
    val_fraction: float = option(0.2, "Share of the patients held back for validation.", minimum=0.0, maximum=1.0)
    checkpoint_s: float = option(300.0, "Seconds between checkpoints.", name="checkpoint-seconds", minimum=0.0)
    tensorboard: bool = option(True, "Also write what TensorBoard shows.")
    resume: bool = option(True, "Go on where a killed run of this folder was.")
    init: Path | None = option(
        None,
        "Start the MAE from a ViT's public weights: timm's or the MAE authors' layout, .pth, .bin or .safetensors.",
        text=(Path, None, lambda init: init),
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """How a labelled set is judged. stressed: healthy slices that get a lesion of every kind put in."""

    modality: str | None = option(None, "BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")
    split: str | None = option(None, "The part to judge; default: test where the set is split, else all of it.")
    batch: int = option(32, "Slices scored at once.", minimum=1)
    resamples: int = option(1000, "Draws of patients for the intervals.", minimum=0)
    seed: int = option(0, "Seed of all that is drawn at random.", minimum=0, maximum=LARGEST_SEED)
    stressed: int = option(64, "Healthy slices that get a lesion of every kind put in.", minimum=0)
    groups: Path | None = option(
        None, "Table of the scans with sex, age, scanner ... (CSV, TSV); default: DATA/participants.tsv."
    )
    draw: bool = option(True, "Also draw roc.png and slices.png.", name="pictures")


@dataclass(frozen=True, kw_only=True)
class StressOptions(Options):
    """How lesions are put into healthy slices."""

    modality: str | None = option(None, "BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")
    slices: int = option(256, "Healthy slices that get a lesion of every kind.", minimum=1)
    seed: int = option(0, "Seed of all that is drawn at random.", minimum=0, maximum=LARGEST_SEED)
