"""Options of `maescan listen`, from the command line and from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path

from maescan.content import read_text
from maescan.errors import ConfigError
from maescan.network.peers import Destination, Sender, TlsFiles, title
from maescan.options import parse_bytes

SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PLACES = (
    "settle",
    "aborted_wait",
    "keep",
    "min_free",
    "max_instance",
    "aet",
    "host",
    "port",
    "from",
    "forward",
    "commit",
    "tls",
)
"""What a TOML file may set, as the command line names it."""


def parse_seconds(text: object) -> float:
    """10, 15m, 12h, 7d. Raises ConfigError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", str(text).strip())
    if not found:
        raise ConfigError(f"'{text}' is no time", remedy="use seconds, or a number with m, h or d, for example 7d")
    return float(found[1]) * SECONDS[found[2]]


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """How images are received and results sent on. settle: quiet seconds after which a released series is scored;
    aborted_wait: seconds for one whose sender broke off; keep: seconds that a scored series stays in the spool;
    min_free: bytes below which no association is taken; max_instance: bytes of one object; commit: senders
    that are called back with what is stored, in place of an answer on their own association."""

    aet: str = "MAESCAN"
    host: str = "127.0.0.1"
    port: int = 11112
    senders: tuple[Sender, ...] = ()
    forward: tuple[Destination, ...] = ()
    commit: tuple[Destination, ...] = ()
    settle: float = 10.0
    aborted_wait: float = 900.0
    keep: float = 7 * 86400.0
    min_free: int = 5 * 10**9
    max_instance: int = 2 * 10**9
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        title(self.aet)
        if not 0 <= self.port < 65536:
            raise ConfigError(f"--port {self.port} is out of range", remedy="use a port from 1 to 65535")
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError as error:
            remedy = "give the IP address of one of this machine's network cards, or 0.0.0.0"
            raise ConfigError(f"--host {self.host} is no IP address", remedy=remedy) from error
        if not (loopback or self.senders or self.tls):
            remedy = "say who may send with --from AET@ADDRESS, or use --tls KEY CERT CA"
            raise ConfigError(f"--host {self.host} would take images from anybody", remedy=remedy)
        if any(to.tls for to in (*self.forward, *self.commit)) and not self.tls:
            raise ConfigError("a node with /tls needs certificates", remedy="give --tls KEY CERT CA")

    @classmethod
    def of(cls, values: Mapping[str, object]) -> ListenOptions:
        """Of values as they are typed or stand in a TOML file; None is left at its default. Raises ConfigError."""
        given = {name: value for name, value in values.items() if value is not None}
        known: dict[str, object] = {
            "senders": tuple(Sender.parse(str(text)) for text in _list("from", given.pop("from", ()))),
            "forward": tuple(Destination.parse(str(text)) for text in _list("forward", given.pop("forward", ()))),
            "commit": tuple(Destination.parse(str(text)) for text in _list("commit", given.pop("commit", ()))),
        }
        known = {name: value for name, value in known.items() if value}
        for name, value in given.items():
            if name == "tls":
                known["tls"] = TlsFiles(*(Path(str(path)) for path in _three(value)))
            elif name in ("settle", "aborted_wait", "keep"):
                known[name] = _parsed(name, parse_seconds, value)
            elif name in ("min_free", "max_instance"):
                known[name] = _parsed(name, parse_bytes, value)
            elif name == "port":
                known[name] = _port(value)
            else:
                known[name] = str(value)
        return cls(**known)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """What `of` takes."""
        values: dict[str, object] = {item.name: getattr(self, item.name) for item in fields(self)}
        del values["senders"]
        values["from"] = [f"{sender.aet}@{sender.network}" for sender in self.senders]
        values["forward"] = [str(to) for to in self.forward]
        values["commit"] = [str(to) for to in self.commit]
        values["tls"] = [str(path) for path in self.tls] if self.tls else None
        return values


def read_config(path: Path) -> dict[str, object]:
    """The values of a TOML file. Raises ConfigError, also for a name that is no option."""
    try:
        values = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"cannot be read: {error}", path=path, remedy="write it as TOML, see docs/hospital.md"
        ) from error
    named = {name.replace("-", "_"): value for name, value in values.items()}
    if unknown := ", ".join(sorted(set(named) - set(PLACES))):
        raise ConfigError(f"unknown: {unknown}", path=path, remedy=f"use {', '.join(PLACES)}")
    return named


def _parsed(name: str, parse: Callable[[object], float], value: object) -> float:
    """Raises ConfigError that names the option: there are several of a kind."""
    try:
        return parse(value)
    except ConfigError as error:
        raise ConfigError(f"--{name.replace('_', '-')}: {error.reason}", remedy=error.remedy) from error


def _list(name: str, value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value)
    raise ConfigError(f"{name} is a list", remedy=f'write {name} = ["..."]')


def _three(value: object) -> list[object]:
    found = list(value) if isinstance(value, list | tuple) else []
    if len(found) != 3:
        raise ConfigError("tls is three files", remedy='write tls = ["KEY", "CERT", "CA"]')
    return found


def _port(value: object) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ConfigError(f"--port {value} is no number", remedy="use a port from 1 to 65535")
    return int(str(value))
