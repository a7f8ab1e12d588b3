"""How to score: the options of `score`, `watch`, Ray and the Python API, declared once."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from maescan.config.types import Json
from maescan.errors import ConfigError
from maescan.options import EngineOptions, LungTiles, Options, ReadOptions, option, parse_bytes
from maescan.results.dicom import KINDS
from maescan.scoring.names import Pseudonyms

__all__ = [
    "AlertOptions",
    "CalibrateOptions",
    "EngineOptions",
    "Format",
    "RayOptions",
    "ReadOptions",
    "ScoreOptions",
    "Shard",
    "WatchOptions",
]


class Format(enum.StrEnum):
    """Of the table of slices beside scores.csv."""

    csv = "csv"
    parquet = "parquet"


class Shard(NamedTuple):
    """The `number`-th, from 1, of `parts` parts of the scans."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """I/N. Raises ConfigError for anything else.

        >>> Shard.parse("2/3")
        Shard(number=2, parts=3)
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ConfigError(f"--shard {text} is not I/N with I from 1 to N", remedy="for example --shard 2/3")
        return cls(int(number), int(count))


def parse_kinds(text: str) -> tuple[str, ...]:
    """Kinds of DICOM results, comma-separated. Raises ConfigError for one that there is not."""
    given = {name.strip().lower() for name in text.split(",")} - {""}
    if unknown := sorted(given - set(KINDS)):
        raise ConfigError(f"--dicom-out has no '{unknown[0]}'", remedy=f"use some of {','.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in given)


GLOBS: tuple[type, object, Callable[..., tuple[str, ...]]] = (list[str], [], tuple)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(Options):
    """How to score and what to write. Tiles of the lungs always get maps: a tile's score alone shows no place.
    healthy: keep of each scan's map what a bundle is calibrated with."""

    read: ReadOptions = field(default_factory=ReadOptions)
    maps: bool = option(False, "Also write heat maps as NIfTI on each scan's grid.")
    force: bool = option(False, "Score again what is already scored.")
    workers: int = option(2, "Reader processes.", minimum=1)
    batch: int | None = option(None, "Slices per batch; scores do not depend on it.", minimum=1)
    shard: Shard = option(Shard(1, 1), "I/N: the I-th of N parts of the scans.", text=(str, "1/1", Shard.parse))
    include: tuple[str, ...] = option((), "Only scans whose name matches this glob; may be given again.", text=GLOBS)
    exclude: tuple[str, ...] = option((), "No scans whose name matches this glob; may be given again.", text=GLOBS)
    alert_rate: float = option(0.05, "Share of healthy scans that may alert.", minimum=0.0, maximum=1.0)
    pictures: int = option(
        12, "Draw the highest slices of every alert and of this many scans; 0: of none.", minimum=0
    )
    format: Format = option(Format.csv, "parquet: scores.parquet beside scores.csv.")
    dicom: tuple[str, ...] = option(
        (),
        "DICOM results of DICOM series: some of sr,sc,seg,ko,pm, comma-separated.",
        name="dicom-out",
        text=(str, "", parse_kinds),
    )
    pseudonyms: Pseudonyms | None = option(
        None,
        "Call scans by a keyed hash wherever they are named; the key is made where KEYFILE is not there yet.",
        text=(Path, None, lambda pseudonyms: Pseudonyms.read(pseudonyms) if pseudonyms else None),
    )
    max_map: int = option(200_000_000, "Largest map of --dicom-out pm.", text=(str, "200M", parse_bytes))
    queue_bytes: int = 256 << 20
    healthy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        Shard.parse("/".join(map(str, self.shard)))
        object.__setattr__(self, "dicom", parse_kinds(",".join(self.dicom)))
        if self.pseudonyms and self.dicom:
            remedy = "leave out one of them"
            raise ConfigError(
                "--dicom-out writes patients' names, as archives need, --pseudonyms none", remedy=remedy
            )
        if isinstance(self.read.regions, LungTiles):
            object.__setattr__(self, "maps", True)

    def to_json(self) -> dict[str, object]:
        """See `Options`. Under pseudonyms without what may name scans: globs, a table's path."""
        values = super().to_json()
        if self.pseudonyms:
            values |= {"include": [], "exclude": [], "pseudonyms": self.pseudonyms.mark}
            values["read"] = {**values["read"], "regions": _unnamed(values["read"]["regions"])}
        return values

    @classmethod
    def from_json(cls, values: Json) -> ScoreOptions:
        """What `to_json` made."""
        mark = values.get("pseudonyms")
        values = {**values, "pseudonyms": Pseudonyms(str(mark)) if mark else None}
        read, shard = ReadOptions.from_json(values["read"]), Shard(*values["shard"])
        globs = {name: tuple(values[name]) for name in ("include", "exclude", "dicom")}
        return cls(**{**values, **globs, "read": read, "shard": shard, "format": Format(values["format"])})

    @property
    def mapped(self) -> bool:
        """Whether heat maps are made, written or not."""
        return self.maps or self.measured or bool(self.dicom)

    @property
    def measured(self) -> bool:
        """Whether of each map is kept what a calibration needs; of CT patches there is no such thing."""
        return self.healthy and self.read.regions is None

    def wants(self, name: str) -> bool:
        """Whether a scan of this name is scored, by `include` and `exclude`: globs of its name or the last part."""
        included = not self.include or _matches(name, self.include)
        return included and not _matches(name, self.exclude)

    def key(self) -> Json:
        """What changes a score."""
        return {"read": self.read.key()}


def _unnamed(regions: Mapping[str, object] | None) -> Mapping[str, object] | None:
    return {**regions, "candidates": ""} if regions and "candidates" in regions else regions


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name, glob) or fnmatchcase(last, glob) for glob in globs)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """What a bundle's reference is made of, and where its scans are scored: an output folder as of `score`. Stopped
    or refused, the same call goes on there."""

    aggregation: str | None = option(
        None, "A scan's score: max, top (mean of the 3 highest slices) or area; default: the bundle's."
    )
    skip_failed: bool = option(False, "Calibrate without the scans that cannot be scored.")
    fewer: bool = option(False, "Let too few scans to alert replace a reference of enough.")
    out: Path | None = option(
        None, "Folder of what is scored, to go on after a stop; default: BUNDLE-calibration beside it."
    )


@dataclass(frozen=True, kw_only=True)
class AlertOptions(Options):
    """Whom an alert reaches."""

    on_alert: str | None = option(None, "Shell command run for each alert, the event as JSON on its standard input.")
    fail_on_alert: bool = option(False, "Exit with 4 where a scan alerts.")
    log: Path | None = option(None, "Append every event to this file, a line of JSON each; rotated at 10 MB.")


@dataclass(frozen=True, kw_only=True)
class WatchOptions(Options):
    """When a scan in the inbox is whole."""

    settle_s: float = option(5.0, "Seconds without change after which a scan is whole.", name="settle", minimum=0.0)
    poll_s: float = option(0.5, "Seconds between two looks at the inbox.", name="poll", minimum=0.01)


@dataclass(frozen=True, kw_only=True)
class RayOptions(Options):
    """Where shards are scored: no address, no Ray."""

    address: str | None = option(None, "Score on this Ray cluster: its address, auto, or local.", name="ray")
    actors: int | None = option(
        None, "Shards of the scans; default: one per GPU, or one per node.", name="ray-actors", minimum=1
    )
