"""What `maescan COMMAND --help` says, of the command's signature alone: putting Typer's own together takes four times
as long as all the rest."""

from __future__ import annotations

import enum
import inspect
import shutil
import textwrap
from collections import defaultdict
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_origin

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from maescan.cli.conventions import declared, name_of
from maescan.cli.overview import NARROW, WIDE, listed

KINDS = {Path: "PATH", int: "INT", float: "NUMBER", str: "TEXT"}
HELP = ("-h, --help", "This.")


def usage(command: CommandInfo, columns: int = 0) -> str:
    """What a command does, its arguments, and its options by panel. columns: the terminal's own if 0."""
    width = min(max(columns or shutil.get_terminal_size().columns, NARROW), WIDE)
    panels: dict[str, dict[str, str]] = defaultdict(dict)
    typed = list[str]()
    for parameter in inspect.signature(command.callback or usage).parameters.values():
        kind, *facts = get_args(parameter.annotation)
        for fact in facts:
            if isinstance(fact, ArgumentInfo):
                typed.append(_argument(parameter, kind, fact))
                panels["Arguments"][typed[-1]] = _told(parameter, fact)
            elif isinstance(fact, OptionInfo):
                panels[fact.rich_help_panel or "Options"][_spelled(parameter, fact, kind)] = _told(parameter, fact)
    panels["Options"][HELP[0]] = HELP[1]
    words = " ".join((inspect.getdoc(command.callback) or "").split())
    line = " ".join(["Usage: maescan", name_of(command), "[OPTIONS]", *typed])
    order = sorted(panels, key=lambda title: (title != "Arguments", title != "Options"))
    parts = [
        line,
        textwrap.fill(words, width, break_on_hyphens=False),
        *(listed(title, panels[title], width) for title in order),
    ]
    return "\n\n".join([*parts, command.epilog or ""]).rstrip()


def _argument(parameter: inspect.Parameter, kind: object, fact: ArgumentInfo) -> str:
    name = (fact.metavar or parameter.name.upper()) + ("..." if get_origin(_plain(kind)) is list else "")
    return name if parameter.default is parameter.empty else f"[{name}]"


def _spelled(parameter: inspect.Parameter, fact: OptionInfo, kind: object) -> str:
    """An option as it is typed, short form first, with what it takes."""
    long = parameter.name.replace("_", "-")
    names = declared(fact) or [f"--{long}/--no-{long}" if kind is bool else f"--{long}"]
    return f"{', '.join(sorted(names, key=len)).replace('/', ' / ')} {_taken(kind)}".rstrip()


def _taken(kind: object) -> str:
    plain = _plain(kind)
    plain = get_args(plain)[0] if get_origin(plain) is list else plain
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return "|".join(str(choice.value) for choice in plain)
    return "" if plain is bool else KINDS[plain] if isinstance(plain, type) else "TEXT"


def _plain(kind: object) -> object:
    """A type without None."""
    return next(part for part in get_args(kind) if part is not NoneType) if get_origin(kind) is UnionType else kind


def _told(parameter: inspect.Parameter, fact: ArgumentInfo | OptionInfo) -> str:
    """What a parameter is for, what it may be, and what it is where it is not given."""
    parts, default = [fact.help or ""], parameter.default
    if fact.min is not None or fact.max is not None:
        ends = (
            f"from {fact.min:.10g}" if fact.min is not None else "",
            f"to {fact.max:.10g}" if fact.max is not None else "",
        )
        parts.append(f"[{' '.join(filter(None, ends))}]")
    if default is parameter.empty:
        parts.append("[required]")
    elif default is True:
        parts.append("[default: yes]")
    elif default or (default == 0 and default is not False):
        shown = default.value if isinstance(default, enum.Enum) else default
        parts.append(f"[default: {', '.join(map(str, shown)) if isinstance(shown, list | tuple) else shown}]")
    return " ".join(filter(None, parts))
