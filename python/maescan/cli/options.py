"""Options that several commands share, and how a command gets those of an `Options` type."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from maescan.errors import typed
from maescan.options import LARGEST_SEED, Flag, Options

if TYPE_CHECKING:
    from maescan.config import Preset

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all that is drawn at random.")]
BundleOption = Annotated[Path, typer.Option(help="A bundle made by `maescan export`.")]
Device = Annotated[str, typer.Option(help="auto, cpu, gpu or cuda:N. The device asked for, or an error.")]
PresetOption = Annotated[
    str,
    typer.Option(
        help="brats, brats-fg, brats-fast, brats+, brats-official, luna16, luna16+, luna16-official, tiny, tiny-fg,"
        " tiny-fast, tiny+, or a preset's .json file."
    ),
]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")]
Json = Annotated[bool, typer.Option("--json", help="Events as JSON lines on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


PANELS = {
    "EngineOptions": "Where it runs",
    "ReadOptions": "How scans are read",
    "ScoreOptions": "What is scored and written",
    "AlertOptions": "Whom an alert reaches",
    "WatchOptions": "When a scan is whole",
    "RayOptions": "On a cluster",
}
"""Headings in a command's help."""


class Kind(enum.StrEnum):
    """Of phantom scans."""

    brain = "brain"
    lung = "lung"
    both = "both"


def with_options(
    *, leave_out: Collection[str] = (), **kinds: type[Options]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the flags of `Options` types; it takes one value of each, by the name given here.

    leave_out: fields that this command has no use for; they keep their defaults."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = _parameters(command, set(kinds))
        items = {name: [i for i in _options(kind) if i.name not in leave_out] for name, kind in kinds.items()}
        flags = [p for name, kind in kinds.items() for p in _flags(kind, items[name])]

        @functools.wraps(command)
        def call(**values: Any) -> None:
            for name, kind in kinds.items():
                values[name] = kind(**{item.name: _value(item, values) for item in items[name]})
            command(**values)

        call.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
        return call

    return decorate


def _parameters(command: Callable[..., None], without: set[str]) -> list[inspect.Parameter]:
    hints = get_type_hints(command, include_extras=True)
    given = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [p.replace(annotation=hints[p.name], kind=keyword) for p in given if p.name not in without]


def _options(kind: type[Options]) -> list[Field[Any]]:
    return [item for item in fields(kind) if "flags" in item.metadata]


def _flags(kind: type[Options], items: list[Field[Any]]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind)
    for item in items:
        for flag in item.metadata["flags"]:
            name, type_ = _name(item, flag), flag.kind or hints[item.name]
            if flag.default is None and flag.kind is not None:
                type_ = flag.kind | None
            spelled = f"--{name}" + (f"/--no-{name}" if flag.default is True else "")
            panel = PANELS.get(kind.__name__)
            described = typer.Option(
                spelled, help=flag.help, min=flag.minimum, max=flag.maximum, rich_help_panel=panel
            )
            yield inspect.Parameter(
                _variable(item, flag),
                inspect.Parameter.KEYWORD_ONLY,
                default=flag.default,
                annotation=Annotated[type_, described],
            )


def _name(item: Field[Any], flag: Flag) -> str:
    return flag.name or item.name.replace("_", "-")


def _variable(item: Field[Any], flag: Flag) -> str:
    return _name(item, flag).replace("-", "_")


def _value(item: Field[Any], values: dict[str, Any]) -> Any:
    """Takes a field's flags out of the values of a call."""
    typed = {_variable(item, flag): values.pop(_variable(item, flag)) for flag in item.metadata["flags"]}
    parse = item.metadata["parse"]
    if parse is None:
        return next(iter(typed.values()))
    return parse(**typed) if len(typed) > 1 else parse(*typed.values())


def say_caution(bundle: Path) -> None:
    """What the bundle is for, and what its model does not find, on stderr."""
    from maescan.engines.bundle import cautions_at

    for words in cautions_at(bundle):
        print(f"maescan: {words}", file=sys.stderr)


def show_markdown(text: str) -> None:
    """Markdown as tables and paragraphs."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    (console if console.is_terminal else Console(width=120)).print(Markdown(text))


@contextlib.contextmanager
def signature_kept_or_told(bundle: Path) -> Iterator[None]:
    """Says on standard error where what is done meanwhile ends a bundle's signature."""
    from maescan.engines.signing import SIGNATURE

    file = bundle / SIGNATURE
    signed = file.exists()
    try:
        yield
    finally:
        if signed and not file.exists():
            anew = f"maescan sign {typed(bundle)} --key KEY"
            print(f"the bundle's signature is gone with what it signed: sign it anew, {anew}", file=sys.stderr)


def preset_with(
    name: str, epochs: int | None, classifier_epochs: int | None, batch_size: int | None, fresh: bool
) -> Preset:
    """A preset by name or file, with what a command line changes of it."""
    from maescan.config import preset

    changes: Mapping[str, Any] = {
        "mae__epochs": epochs,
        "classifier__epochs": classifier_epochs,
        "judge__epochs": classifier_epochs,
        "judge__least_steps": 0 if classifier_epochs else None,
        "mae__batch_size": batch_size,
        "classifier__batch_size": batch_size,
        "judge__batch_size": batch_size,
        "classifier__fresh_negatives": fresh or None,
    }
    chosen = preset(name).replace(**{key: value for key, value in changes.items() if value is not None})
    for part in ("mae", "classifier", "judge"):  # a warm-up ends halfway, or the rate would never fall
        own = getattr(chosen, part)
        if changes.get(f"{part}__epochs") and own.warmup_epochs > own.epochs // 2:
            chosen = chosen.replace(**{f"{part}__warmup_epochs": own.epochs // 2})
    return chosen
