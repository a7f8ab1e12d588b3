"""What a bundle's JSON files hold: the types of manifest.json and engine.json, and the hash over the manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from maescan.config import Preset
from maescan.config.types import Json
from maescan.errors import BundleError, ConfigError
from maescan.records import Record, StrictRecord, check, decode, read

SCHEMA_VERSION = 2
ANEW = "export it anew"
NEWER = f"{ANEW}, or use the maescan that wrote it"
CHANGED = "copy it anew from where it was exported, or export it anew"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tabs and ends of lines, which a card's text may have."""

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Positive = Annotated[int, Meta(ge=1)]
Scores = Annotated[list[float], Meta(min_length=1)]
Range = tuple[float, float]


class Max(StrictRecord, frozen=True, tag="max", tag_field="method"):
    """A scan's score is its highest slice's."""


class Top(StrictRecord, frozen=True, tag="top", tag_field="method"):
    """The mean of its `k` highest."""

    k: Positive


class Area(StrictRecord, frozen=True, tag="area", tag_field="method"):
    """The share of slices over a threshold."""

    threshold: float


class Calibration(Record, frozen=True):
    """Scores of healthy scans and of their slices; see scoring.conformal. made: the day, "" where an older maescan
    made it; regions: the option that asked for the patches, "" where there were none, or by an older maescan;
    patients: how many, where some have several scans, else 0; unlike: how many of the scans are not as training's."""

    scans: Scores
    slices: Scores
    scores_sha256: Hash
    made: str = ""
    regions: str = ""
    patients: int = 0
    unlike: int = 0
    positions: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)


class Intensity(StrictRecord, frozen=True):
    """What training's scans were like, as `method.intensity.expected_ranges` has it."""

    mean: Range | None = None
    std: Range | None = None
    share: Range | None = None
    contrast: Range | None = None
    noise: Range | None = None
    detail: Range | None = None
    histogram: Annotated[list[float], Meta(min_length=8, max_length=8)] | None = None


class Prints(StrictRecord, frozen=True):
    """Salted hashes of training's scans; see method.prints."""

    salt: str
    scans: list[str]


class Provenance(Record, frozen=True):
    """What of a run's report is read again; the rest is for people."""

    warnings: list[str] = field(default_factory=list)
    prints: Prints | None = None
    patients: dict[str, int] = field(default_factory=dict)


class Card(StrictRecord, frozen=True):
    """What only people know of a bundle, in their words, and the figures of an evaluation."""

    training_data: str = ""
    licence: str = ""
    intended_use: str = ""
    evaluation: dict[str, float | str] = field(default_factory=dict)


class Manifest(StrictRecord, frozen=True):
    """manifest.json. body: the hash of all other fields."""

    schema_version: Literal[2]
    preset: dict[str, object]
    provenance: Provenance
    files: dict[str, Hash]
    golden: Literal["phantom", "real"]
    body: Hash
    calibration: Calibration | None = None
    intensity: Intensity | None = None
    aggregation: Max | Top | Area | None = None
    card: Card | None = None


class EngineInfo(Record, frozen=True):
    """engine.json."""

    target: str
    precision: str
    versions: dict[str, str]
    seconds: float
    device: str | None = None
    drift: dict[str, float] | None = None


def parse(raw: bytes, file: Path) -> Json:
    """A manifest in JSON types, checked. Raises BundleError: no manifest, of another version, changed since it was
    written, or not what a manifest holds."""
    values = decode(
        dict[str, object], raw, path=file, remedy="give a folder made by `maescan export`", error=BundleError
    )
    version = values.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool | float):
        remedy = f"this maescan reads version {SCHEMA_VERSION}: {NEWER}"
        raise BundleError(f"is of schema version {str(version)[:20]}", path=file, remedy=remedy)
    try:
        body, texts = body_hash(values), list(_texts(values))
    except RecursionError as error:
        raise BundleError("is nested too deep", path=file, remedy=ANEW) from error
    if values.get("body") != body:
        raise BundleError("was changed since it was written", path=file, remedy=CHANGED)
    if any(_CONTROL.search(text) for text in texts):
        raise BundleError("holds characters that drive a terminal", path=file, remedy=ANEW)
    check_manifest(values, file)
    return values


def check_manifest(values: Mapping[str, object], file: Path) -> Manifest:
    """Raises BundleError naming the field that a manifest does not have, or not so."""
    known = check(Manifest, dict(values), path=file, remedy=NEWER, error=BundleError)
    try:
        Preset.from_dict(dict(known.preset))
    except ConfigError as error:
        raise BundleError(error.reason, path=file, remedy=NEWER) from error
    return known


def _texts(value: object) -> Iterator[str]:
    """Every name and text of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inside in value.items():
            yield from (name, *_texts(inside))
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)


def body_hash(values: Mapping[str, object]) -> str:
    """SHA-256 over all fields of a manifest but `body`, in sorted JSON without spaces."""
    body = {name: value for name, value in values.items() if name != "body"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_engine(file: Path) -> Json:
    """engine.json in JSON types, checked. Raises BundleError."""
    values = read(dict[str, object], file, remedy=ANEW, error=BundleError)
    check(EngineInfo, values, path=file, remedy=ANEW, error=BundleError)
    return values
