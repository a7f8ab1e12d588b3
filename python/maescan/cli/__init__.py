"""The command line: parse, call one function, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import os
import sys

import typer

from maescan.cli import data, demo, machine, network, scoring, training
from maescan.errors import MaescanError, lacking

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for room in (scoring, network, training, data, machine, demo):
    app.add_typer(room.commands)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of maescan, 2 wrong input, 3 done but some scans failed."""
    try:
        app(prog_name="maescan")
    except MaescanError as error:
        print(f"maescan: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("maescan: stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("MAESCAN_DEBUG"):
            raise
        if isinstance(error, ImportError) and (known := lacking(error)):
            print(f"maescan: {known}", file=sys.stderr)
            sys.exit(2)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"maescan: {reason} (a fault of maescan; MAESCAN_DEBUG=1 shows where)", file=sys.stderr)
        sys.exit(1)
