"""All commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from maescan import __version__
from maescan.cli import conventions, data, demo, machine, network, scoring, training

ROOMS = (scoring, demo, network, training, data, machine)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Options may also stand in a file (--config) and in the environment (MAESCAN_WORKERS=4, "
    "MAESCAN_SCORE_MAPS=1). Exit codes: 0 done, 1 a fault of maescan, 2 wrong input, 3 done but some scans failed.",
)
conventions.apply([info for room in ROOMS for info in room.commands.registered_commands])
for part in ROOMS:
    app.add_typer(part.commands)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"maescan {__version__}")
        raise typer.Exit


@app.callback()
def maescan(
    version: Annotated[
        bool, typer.Option("--version", help="The version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Score every slice of medical scans for anomalies, by models that have seen healthy scans alone."""
