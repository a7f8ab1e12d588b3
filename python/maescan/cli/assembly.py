"""All commands, put together; or the one that is typed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Annotated

import typer
from typer.models import CommandInfo

from maescan import __version__
from maescan.cli import conventions

ROOMS = {
    "scoring": ("score", "calibrate", "watch", "view", "pseudonym", "merge"),
    "demo": ("demo",),
    "network": ("echo", "listen", "send"),
    "training": ("train", "export", "card", "evaluate", "compare", "stress", "ablate", "import-checkpoint"),
    "data": ("phantom", "prepare", "inspect"),
    "machine": ("verify", "sign", "pull", "doctor", "bench", "version"),
}
"""Module -> its commands."""


def app_for(typed: Sequence[str]) -> typer.Typer:
    """Of one command alone where one is typed: putting the others together is a third of a start."""
    for room, commands in ROOMS.items():
        if typed and typed[0] in commands:
            return _together([info for info in _commands(room) if conventions.name_of(info) == typed[0]])
    return whole()


@functools.cache
def whole() -> typer.Typer:
    """Of every command."""
    return _together([info for room in ROOMS for info in _commands(room)])


@functools.cache
def known() -> Mapping[str, conventions.Options]:
    """The options of every command."""
    return {conventions.name_of(info): conventions.options_of(info) for room in ROOMS for info in _commands(room)}


def _commands(room: str) -> list[CommandInfo]:
    module: ModuleType = import_module(f"maescan.cli.{room}")
    found: list[CommandInfo] = module.commands.registered_commands
    return found


def _together(commands: list[CommandInfo]) -> typer.Typer:
    conventions.apply(commands, known)
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Options may also stand in a file (--config) and in the environment (MAESCAN_WORKERS=4, "
        "MAESCAN_SCORE_MAPS=1). Exit codes: 0 done, 1 a fault of maescan, 2 wrong input, 3 done but some scans "
        "failed.",
    )
    app.registered_commands.extend(commands)
    app.callback()(maescan)
    return app


def _say_version(asked: bool) -> None:
    if asked:
        print(f"maescan {__version__}")
        raise typer.Exit


def maescan(
    version: Annotated[
        bool, typer.Option("--version", help="The version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Score every slice of medical scans for anomalies, by models that have seen healthy scans alone."""
