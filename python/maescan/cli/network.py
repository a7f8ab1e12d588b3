"""Commands that receive and send DICOM."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from maescan.cli.events import Show, of_listen
from maescan.cli.options import BundleOption, Json, Out, Quiet, with_options
from maescan.cli.scoring import check_format, leave
from maescan.scoring.options import AlertOptions, EngineOptions, ReadOptions, ScoreOptions

commands = typer.Typer()

Tls = Annotated[
    tuple[Path, Path, Path] | None,
    typer.Option(metavar="KEY CERT CA", help="PEM files: our key and certificate, and who signs those of others."),
]
Aet = Annotated[str, typer.Option(help="Our AE title.")]


@commands.command()
def echo(
    node: Annotated[str, typer.Argument(help="AET@HOST:PORT, with /tls behind it for TLS.")],
    aet: Aet = "MAESCAN",
    tls: Tls = None,
) -> None:
    """Ask a DICOM node whether it is there (C-ECHO)."""
    from maescan.errors import ConfigError
    from maescan.network.calling import echo as ask
    from maescan.network.peers import Destination, TlsFiles, title

    to = Destination.parse(node)
    if to.tls and not tls:
        raise ConfigError(f"{node} needs certificates", remedy="give --tls KEY CERT CA")
    files = TlsFiles(*tls) if tls else None
    if to.tls and files:
        files.check()
    seconds = ask(to, title(aet), files)
    print(f"{to} answers {title(aet)} in {1000 * seconds:.0f} ms")


@commands.command()
@with_options(
    engine=EngineOptions,
    read=ReadOptions,
    options=ScoreOptions,
    alerts=AlertOptions,
    leave_out=("shard", "force", "pseudonyms"),
)
def listen(
    bundle: BundleOption,
    out: Out,
    *,
    engine: EngineOptions,
    read: ReadOptions,
    options: ScoreOptions,
    alerts: AlertOptions,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with the options below; the command line wins.")
    ] = None,
    aet: Annotated[str | None, typer.Option(help="Our AE title; default MAESCAN.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[str | None, typer.Option(help="Port to listen on; default 11112.")] = None,
    from_: Annotated[
        list[str] | None, typer.Option("--from", help="AET@ADDRESS that may send; may be given again.")
    ] = None,
    forward: Annotated[
        list[str] | None,
        typer.Option(help="AET@HOST:PORT, with /tls behind it for TLS, that results go to; may be given again."),
    ] = None,
    commit: Annotated[
        list[str] | None, typer.Option(help="AET@HOST:PORT of a sender that is called back about commitment.")
    ] = None,
    settle: Annotated[str | None, typer.Option(help="Quiet time after which a series is scored; default 10.")] = None,
    aborted_wait: Annotated[
        str | None, typer.Option(help="The same after its sender broke off; default 900.")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="How long scored images are kept; default 7d.")] = None,
    min_free: Annotated[
        str | None, typer.Option(help="Free space below which no sender is taken; default 5G.")
    ] = None,
    max_instance: Annotated[str | None, typer.Option(help="Largest image that is taken; default 2G.")] = None,
    tls: Tls = None,
    json_events: Json = False,
    quiet: Quiet = False,
) -> None:
    """Receive DICOM from scanners, score each series when it is there, send results on; until SIGTERM or Ctrl-C.
    Nothing that was acknowledged is lost, whatever is killed. Exit codes as `watch`'s."""
    from maescan.network.listen import listen as run
    from maescan.network.options import ListenOptions, read_config

    given: dict[str, object] = {
        "aet": aet,
        "host": host,
        "port": port,
        "from": from_,
        "forward": forward,
        "commit": commit,
        "settle": settle,
    }
    given |= {
        "aborted_wait": aborted_wait,
        "keep": keep,
        "min_free": min_free,
        "max_instance": max_instance,
        "tls": tls,
    }
    typed = {name: value for name, value in given.items() if value not in (None, [])}
    how = ListenOptions.of({**(read_config(config) if config else {}), **typed})
    options = replace(options, read=read)
    check_format(options)
    summary = run(bundle, out, how, (engine, options), alerts, of_listen(Show.of(json_events, quiet)))
    leave(replace(summary, failures=[], refused=[]), alerts)


@commands.command()
def send(
    out: Annotated[Path, typer.Argument(help="The --out folder of `maescan score`, `watch` or `listen`.")],
    forward: Annotated[
        list[str], typer.Option(help="AET@HOST:PORT, with /tls behind it for TLS; may be given again.")
    ],
    aet: Aet = "MAESCAN",
    tls: Tls = None,
) -> None:
    """Send the DICOM results of an output folder that a destination does not have yet (C-STORE). Exit code 3: some
    were refused or still wait; run it again to go on."""
    from maescan.errors import escaped
    from maescan.network.forwarder import send as run
    from maescan.network.options import ListenOptions

    unsent = list[str]()
    counts = run(out, ListenOptions.of({"aet": aet, "forward": forward, "tls": tls}), unsent.append)
    for to, count in counts.items():
        print(f"{to}: " + ", ".join(f"{number} {what}" for what, number in count.items()))
    for line in unsent:
        print(escaped(line), file=sys.stderr)
    if unsent:
        raise typer.Exit(3)
