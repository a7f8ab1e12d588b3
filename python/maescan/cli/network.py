"""Commands that receive and send DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    seconds = ask(to, title(aet), TlsFiles(*tls) if tls else None)
    print(f"{to} answers {title(aet)} in {1000 * seconds:.0f} ms")
