"""Commands about this machine and a bundle on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from maescan.cli.options import Device, Out, PresetOption, Threads

commands = typer.Typer()


@commands.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    device: Annotated[str | None, typer.Option(help="Only engines of this device.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also run TorchScript engines, which can run any code.")
    ] = False,
) -> None:
    """Check every hash of a bundle, then run its golden slices through every engine that can run here."""
    from maescan.engines import verify as verification

    if not verification.show(bundle, device=device, trust=trust):
        raise typer.Exit(2)


@commands.command()
def doctor() -> None:
    """What this machine can run, and the command to get what is missing."""
    from maescan.engines import doctor as check

    check.show()


@commands.command()
def bench(
    bundle: Annotated[Path | None, typer.Option(help="The bundle to measure.")] = None,
    preset: PresetOption = "brats",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Measure the preset with untrained weights (needs torch).")
    ] = False,
    device: Device = "cpu",
    threads: Threads = None,
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    out: Out = Path("bench-out"),
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: two batch sizes, small folders.")] = False,
) -> None:
    """How many scans an hour this machine scores, where the time goes, how far that is from its limit."""
    from maescan.benchmark import report, run

    values = run.bench(
        out,
        bundle=bundle,
        preset=preset,
        random_weights=random_weights,
        device=device,
        threads=threads,
        workers=workers,
        quick=quick,
        command=" ".join(["maescan", *sys.argv[1:]]),
        say=lambda text: print(f"measuring {text}", file=sys.stderr),
    )
    report.show(values)
    print(f"report: {out / 'bench.md'}")


@commands.command()
def version() -> None:
    """The version of maescan."""
    from maescan import __version__

    print(json.dumps({"maescan": __version__}))
