"""`maescan listen`: a receiver beside the scanner, the pipeline that scores what it keeps, a forwarder of results.

Three processes: what scores may be slow, what forwards may wait for days, neither keeps an image from being taken.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from maescan import files
from maescan.engines.bundle import Bundle
from maescan.errors import DataError, require
from maescan.network.arrivals import SpoolOrigin
from maescan.network.child import Child, Tell
from maescan.network.options import ListenOptions
from maescan.network.peers import cannot_listen
from maescan.network.spool import folder_of
from maescan.scans.budget import Limits
from maescan.scoring.alerts import passed_on
from maescan.scoring.options import AlertOptions, EngineOptions, ScoreOptions
from maescan.scoring.room import await_room
from maescan.scoring.run import opened, unheard
from maescan.scoring.summary import Summary
from maescan.scoring.watch import stopped_by_signals, watch_origin

COUNTS = ("score", "p_value", "alert", "fit", "slices", "latency_s", "state", "time", "stage")
"""Facts of a scan's event that hold neither a name nor an identifier."""


def listen(
    bundle: Path,
    out: Path,
    options: ListenOptions,
    scoring: tuple[EngineOptions, ScoreOptions],
    alerts: AlertOptions = AlertOptions(),
    show: Tell = unheard,
) -> Summary:
    """Receives, scores and forwards until SIGTERM or SIGINT; whatever is killed goes on where it was when it is
    started again. scoring: how, and with which engine. show: told of each event, without names.

    Raises ConfigError where it cannot listen so, DataError where `out` cannot be used, and what `score_paths` does
    of a bundle."""
    require("pynetdicom", "listen")
    if options.forward:
        require("highdicom", "--forward")
    if options.tls:
        options.tls.check()
    os.umask(0o077)
    engine, score = scoring
    files.check_claim(out, "scores")
    _check_place(options.host, options.port)
    tell = _nameless(show)
    with opened(bundle, engine, score) as (loaded, started), stopped_by_signals() as stop:
        private(out)
        if options.forward and not score.dicom:
            score = replace(score, dicom=results_of(loaded))
        with passed_on(tell, alerts) as event:
            await_room(out, event, stop)
            with _processes(out, options, event):
                origin = SpoolOrigin(out, options, Limits.of(score.read), stop, event)
                return watch_origin(origin, loaded, started, out, score, event)


def _check_place(host: str, port: int) -> None:
    """Raises ConfigError where nothing can listen: before there is a folder, which another run may be meant for."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            tried.listen()
    except OSError as error:
        raise cannot_listen(host, port, error) from error


def results_of(bundle: Bundle) -> tuple[str, ...]:
    """Kinds of DICOM results that are made to be forwarded where none were named: report, pictures, key images, and
    the segmentation where the bundle can."""
    mapped = (bundle.manifest.get("calibration") or {}).get("maps")
    return ("sr", "sc", "seg", "ko") if mapped else ("sr", "sc", "ko")


def private(out: Path) -> None:
    """Takes an output folder, for this user alone: it holds what patients must not find in others' hands. Raises
    DataError."""
    files.claim(out, "scores")
    try:
        folder_of(out).mkdir(mode=0o700, exist_ok=True)
        for folder in (out, folder_of(out).parent, folder_of(out)):
            folder.chmod(0o700)
    except OSError as error:
        remedy = "use an --out that is yours"
        raise DataError(f"cannot be made private: {error.strerror}", path=out, remedy=remedy) from error


@contextlib.contextmanager
def _processes(out: Path, options: ListenOptions, tell: Tell) -> Iterator[None]:
    """Receiver and forwarder, at work, and ended at the end."""
    values = {"out": str(out.absolute()), "options": options.to_json()}
    with contextlib.ExitStack() as stack:
        child = Child("maescan.network.receiver", values, "receiving", tell)
        stack.callback(child.close)
        child.wait_ready()
        if options.forward:
            forwarder = Child("maescan.network.forwarder", values, "forwarding", tell)
            stack.callback(forwarder.close)
            forwarder.wait_ready()
        yield


def _nameless(show: Tell) -> Tell:
    """Events for a log: of a scan the folder of its label, which is made of hashes, and counts."""
    mutex = threading.Lock()

    def tell(name: str, facts: dict[str, object]) -> None:
        if name == "watching":
            return
        if "scan" in facts:
            scan = "/".join(str(facts["scan"]).split("/")[:2])
            facts = {"scan": scan, **{key: facts[key] for key in COUNTS if key in facts}}
        with mutex:
            show(name, facts)

    return tell
