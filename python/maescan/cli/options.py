"""Options that several commands share, and what their words mean."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from maescan.errors import ConfigError

Out = Annotated[Path, typer.Option(help="Folder to write into.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn at random.")]
BundleOption = Annotated[Path, typer.Option(help="A bundle made by `maescan export`.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N. The device asked for, or an error.")]
PresetOption = Annotated[str, typer.Option(help="brats, luna16, tiny, or a preset's .json file.")]
Precision = Annotated[str | None, typer.Option(help="fp32, bf16, int8, fp16; default: the bundle's own choice.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")]
AlertRate = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of healthy scans that may alert.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only errors.")]


class Format(enum.StrEnum):
    csv = "csv"
    parquet = "parquet"


class Kind(enum.StrEnum):
    brain = "brain"
    lung = "lung"
    both = "both"


def preset_with(
    name: str, epochs: int | None, classifier_epochs: int | None, batch_size: int | None, fresh: bool
) -> Any:
    from maescan.config import preset

    changes: dict[str, Any] = {
        "mae__epochs": epochs,
        "classifier__epochs": classifier_epochs,
        "mae__batch_size": batch_size,
        "classifier__batch_size": batch_size,
        "classifier__fresh_negatives": fresh or None,
    }
    return preset(name).replace(**{key: value for key, value in changes.items() if value is not None})


def parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--shard {text} is not I/N with I from 1 to N", remedy="for example --shard 2/3")
    return int(number), int(count)


def regions_of(candidates: Path | None, tile: bool) -> dict[str, Any]:
    from maescan.method.regions import by_candidates, by_tiles

    if candidates and tile:
        raise ConfigError("--candidates and --tile are two ways", remedy="choose one")
    return by_candidates(candidates) if candidates else by_tiles()
