"""All commands, put together; or the one that is typed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo

from maescan import __version__
from maescan.cli import conventions
from maescan.cli.overview import PURPOSE, ROOMS, overview
from maescan.cli.usage import usage


def app_for(typed: Sequence[str]) -> typer.Typer:
    """Of one command alone where one is typed: putting the others together is a third of a start."""
    for room, commands in ROOMS.items():
        if typed and typed[0] in commands:
            return _together([info for info in _commands(room) if conventions.name_of(info) == typed[0]])
    return whole()


def help_of(command: str) -> str:
    """What a command's `--help` says; "" where there is none of that name."""
    found = [info for room, names in ROOMS.items() if command in names for info in _commands(room)]
    named = [info for info in found if conventions.name_of(info) == command]
    conventions.apply(named, known)
    return usage(named[0]) if named else ""


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
    for info in commands:
        info.cls = _Command
    app = typer.Typer(
        cls=_Group,
        help=PURPOSE,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.registered_commands.extend(commands)
    app.callback()(maescan)
    return app


def _say_version(asked: bool) -> None:
    if asked:
        print(f"maescan {__version__}")
        raise typer.Exit


class _Group(TyperGroup):
    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override,unused-ignore]  # noqa: ARG002
        return overview()


class _Command(conventions.Command):
    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override,unused-ignore]  # noqa: ARG002
        return help_of(self.name or "")


def maescan(
    version: Annotated[
        bool, typer.Option("--version", help="The version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """See `overview`."""
