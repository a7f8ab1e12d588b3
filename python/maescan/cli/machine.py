"""Commands about this machine and a bundle on it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from maescan.cli.options import Device, Out, PresetOption, Quiet, Threads

commands = typer.Typer()
Trust = Annotated[bool, typer.Option("--trust", help="Also run TorchScript engines, which can run any code.")]


@commands.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    device: Annotated[str | None, typer.Option(help="Only engines of this device: auto, cpu, gpu or cuda:N.")] = None,
    trust: Trust = False,
    key: Annotated[
        str | None,
        typer.Option(
            help="Public keys of minisign (file, folder or the key); one must have signed it. Without any, those of"
            " MAESCAN_TRUSTED_KEYS; without these no signature is checked."
        ),
    ] = None,
    limit_seconds: Annotated[float, typer.Option(min=1.0, help="Time that an engine may take.")] = 600.0,
    limit_memory: Annotated[
        float | None, typer.Option(min=0.1, help="GB of memory that an engine may take; default: a quarter of all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Check every hash of a bundle and, by a key, its signature, prepare its golden scan, run its golden slices
    through every engine that can run here, each in a process of its own, and say what personal data it holds."""
    from maescan.cli.progress import shown
    from maescan.engines import verify as verification
    from maescan.scans.budget import Limits

    limits = Limits(seconds=limit_seconds, memory=None if limit_memory is None else int(limit_memory * 1e9))
    with shown("verify"):
        sound = verification.show(bundle, device=device, trust=trust, key=key, limits=limits, as_json=as_json)
    if not sound:
        raise typer.Exit(2)


@commands.command()
def sign(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    key: Annotated[Path, typer.Option(help="A secret key that `minisign -G` made.")],
) -> None:
    """Sign a bundle, so that machines with MAESCAN_TRUSTED_KEYS take it. A key's password is asked for, or taken from
    MAESCAN_KEY_PASSWORD."""
    from maescan.engines.bundle import Bundle
    from maescan.engines.signing import needs_password
    from maescan.engines.signing import sign as make

    password = os.environ.get("MAESCAN_KEY_PASSWORD")
    if password is None and needs_password(key):
        try:
            password = typer.prompt("password", hide_input=True, err=True)
        except typer.Abort:  # Ctrl-C, or nobody there who could type: then the key says what to do
            if sys.stdin.isatty():
                raise
    Bundle.load(bundle, signed=False)  # what is signed is what was checked, however long a password takes to type
    print(f"signed: {make(bundle, key, password)}")


@commands.command()
def pull(
    address: Annotated[str, typer.Argument(help="https://HOST/BUNDLE.zip, https://HOST/BUNDLE/ or hf://ORG/NAME.")],
    out: Out,
    sha256: Annotated[
        str | None, typer.Option(help="Hash of the archive, or of manifest.json: any other is refused.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch a bundle from the network: whole or not at all, every file by its hash."""
    from maescan.cli.progress import shown
    from maescan.network.pull import pull as fetch

    with shown("pull", quiet, unit="files"):
        bundle, found = fetch(address, out, sha256)
    print(f"bundle: {bundle}")
    if sha256 is None:
        print(f"its hash, to be sure next time that it is the same: --sha256 {found}")


@commands.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False) -> None:
    """What this machine can run, and the command to get what is missing."""
    from maescan.engines import doctor as check

    check.show(as_json=as_json)


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
    trust: Trust = False,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: two batch sizes, small folders.")] = False,
) -> None:
    """How many scans per hour this machine scores, where the time goes, how far that is from its limit."""
    from maescan.benchmark import report, run

    subject = run.Subject(
        bundle=bundle,
        preset=preset,
        random_weights=random_weights,
        device=device,
        threads=threads,
        workers=workers,
        trust=trust,
        quick=quick,
    )
    values = run.bench(
        out,
        subject,
        command=" ".join(["maescan", *sys.argv[1:]]),
        say=lambda text: print(f"measuring {text}", file=sys.stderr),
        listen=lambda text: print(text, file=sys.stderr),
    )
    report.show(values)
    print(f"report: {out / 'bench.md'}")


@commands.command()
def version() -> None:
    """The version of maescan."""
    from maescan import __version__

    print(json.dumps({"maescan": __version__}))
