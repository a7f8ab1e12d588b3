"""The receiver's process: takes images from the network into the spool, and does nothing else.

Started by `maescan listen` with its options on standard input; it ends when that is closed. Tells what it does in
lines of JSON on standard output, with hashes and counts, never with a name or an identifier.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.errors import MaescanError
from maescan.files import short_hash
from maescan.network.commitment import PUSH_MODEL, Commitment
from maescan.network.options import ListenOptions
from maescan.network.peers import cannot_listen
from maescan.network.quiet import quiet_libraries
from maescan.network.spool import DAMAGED, NO_ROOM, REASONS, SUCCESS, UNKEPT, Spool
from maescan.records import Record, decode

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.events import Event, EventHandlerType

    from maescan.network.server import Server

Tell = Callable[[str, dict[str, object]], None]
ASSOCIATIONS, PER_PEER = 32, 16
"""Associations at a time, in all and from one address."""
PDU = 128 << 10
ACSE_S, IDLE_S = 10.0, 600.0
"""How long a connection may take to ask for an association, and an association may say nothing."""
GRACE_S = 20.0
"""How long associations may go on once the receiver is told to stop."""
HOUSE_S = 60.0
LACKING = (NO_ROOM, DAMAGED, UNKEPT)
"""What is answered for an image that its series has where it comes from, and not here."""
COMPRESSED = (
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
    *("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"),
    *("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.5"),
    "1.2.840.10008.1.2.1.99",
)
PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2")
SYNTAXES = [*COMPRESSED, *PLAIN]
"""In our order of choice, which decides: as sent, then explicit, big endian, and implicit last, which loses the kinds
of private elements."""
REJECTED = {
    "called": (1, 1, 7),
    "calling": (1, 1, 3),
    "space": (2, 3, 1),
    "busy": (2, 3, 2),
}
"""Result, source and reason of a rejection (PS3.8 table 9-21)."""


class Receiver:
    """A DICOM node that stores. tell: called with an event's name and facts."""

    def __init__(self, spool: Spool, options: ListenOptions, tell: Tell):
        self._spool, self._options, self._tell = spool, options, tell
        self._counts: dict[object, dict[str, int]] = {}
        self._missing: dict[object, set[str]] = {}
        self._peers: dict[object, str] = {}
        self._late: dict[str, bool] = {}
        self._mutex = threading.Lock()
        self._run = short_hash(f"{os.getpid()} {time.time()}")
        self.server: Server = self._serve()

    def _serve(self) -> Server:
        from pynetdicom import AE, AllStoragePresentationContexts, dimse_messages, evt
        from pynetdicom import _config as settings
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        from maescan.network.server import Server

        settings.STORE_RECV_CHUNKED_DATASET = True
        settings.LOG_HANDLER_LEVEL = "none"
        vars(dimse_messages)["NamedTemporaryFile"] = lambda **_: self._spool.incoming()
        node = AE(self._options.aet)
        node.maximum_pdu_size, node.maximum_associations = PDU, 10 * ASSOCIATIONS
        node.acse_timeout, node.network_timeout, node.dimse_timeout = ACSE_S, IDLE_S, IDLE_S
        for context in AllStoragePresentationContexts:
            node.add_supported_context(str(context.abstract_syntax), SYNTAXES)
        node.add_supported_context(Verification, list(PLAIN))
        node.add_supported_context(PUSH_MODEL, list(PLAIN))
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, Commitment(self._spool, self._options).asked),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_RELEASED, lambda event: self._ended(event, "released")),
            (evt.EVT_ABORTED, lambda event: self._ended(event, "aborted")),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        place, tls = (self._options.host, self._options.port), self._options.tls
        secured, told = tls.serving() if tls else None, self._untrusted
        made = node.make_server(place, evt_handlers=handlers, server_class=Server, tls=secured, untrusted=told)
        assert isinstance(made, Server)
        return made

    def _untrusted(self, address: str, why: str) -> None:
        self._tell("rejected", {"reason": f"tls: {why}", "peer": address})

    def _requested(self, event: Event) -> None:
        """Rejects who may not send, and everybody while there is no room."""
        assoc = event.assoc
        request, address = assoc.requestor.primitive, assoc.requestor.address
        self.server.asked(assoc.dul.socket.socket if assoc.dul.socket else None)
        assert request is not None
        reason = self._refusal(request.calling_ae_title.strip(), request.called_ae_title.strip(), address)
        if reason:
            assoc.acse.send_reject(*REJECTED[reason])
            self._tell("rejected", {"reason": reason, "peer": self._name(request.calling_ae_title, address)})
            assoc.kill()

    def _refusal(self, calling: str, called: str, address: str) -> str:
        options = self._options
        if called != options.aet:
            return "called"
        if options.senders and not any(each.aet == calling and each.is_at(address) for each in options.senders):
            return "calling"
        if self._spool.free() < options.min_free:
            return "space"
        with self._mutex:
            peers = list(self._peers.values())
        return "busy" if len(peers) >= ASSOCIATIONS or peers.count(address) >= PER_PEER else ""

    def _name(self, title: str, address: str) -> str:
        """Of a peer for the log: its title where it is one that was named to us."""
        known = any(each.aet == title.strip() for each in self._options.senders)
        return f"{title.strip() if known else short_hash(title)}@{address}"

    def _accepted(self, event: Event) -> None:
        requestor = event.assoc.requestor
        with self._mutex:
            self._counts[event.assoc], self._missing[event.assoc] = {"stored": 0, "refused": 0}, set()
            self._peers[event.assoc] = requestor.address

    def _key(self, assoc: object) -> str:
        return f"{self._run}-{id(assoc):x}"

    def _store(self, event: Event) -> Dataset:
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", None) or "")
        self._spool.arrived(event.dataset_path)
        status = self._spool.keep(event.dataset_path, uid, self._key(event.assoc))
        with self._mutex:
            counts = self._counts.get(event.assoc)
            if counts is not None:
                counts["stored" if status == SUCCESS else "refused"] += 1
                missing = self._missing[event.assoc]
                (missing.add if status in LACKING else missing.discard)(uid)
        if counts is None:  # its connection was lost while this was written
            self._note_end(self._key(event.assoc), aborted=True)
        if status != SUCCESS:
            facts = {"instance": short_hash(uid, 16), "status": f"{status:04X}"}
            self._tell("refused", {**facts, "reason": REASONS[status]})
        return answer(status)

    def _ended(self, event: Event, how: str) -> None:
        """Notes the end of an association, once. One that images were refused of has not brought its series whole,
        however it ends."""
        with self._mutex:
            counts, address = self._counts.pop(event.assoc, None), self._peers.pop(event.assoc, "")
            missing = self._missing.pop(event.assoc, None)
        if counts is not None:
            self._spool.drop(event.assoc.dul.ident)
            self._note_end(self._key(event.assoc), aborted=how != "released" or bool(missing))
            peer = self._name(event.assoc.requestor.ae_title, address)
            self._tell("association", {"peer": peer, "ended": how, **counts})

    def _note_end(self, key: str, *, aborted: bool) -> None:
        """Records it, at the next round of the house where the disk is full now: else its series would never rest."""
        try:
            self._spool.journal.ended(key, time.time(), aborted=aborted)
        except (OSError, sqlite3.Error):
            self._late[key] = aborted

    def _keep_house(self) -> None:
        """What is done now and then. A full disk costs this round, not the receiver."""
        for key in list(self._late):
            self._note_end(key, aborted=self._late.pop(key))
        with contextlib.suppress(OSError, sqlite3.Error):
            if removed := self._spool.remove_old(self._options.keep):
                self._tell("removed", {"series": removed})

    def _closed(self, event: Event) -> None:
        """A connection is gone: without a release before, that is an abort."""
        self.server.asked(event.assoc.dul.socket.socket if event.assoc.dul.socket else None)
        self._ended(event, "released" if event.assoc.is_released else "aborted")

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop` is set; associations may end by themselves for a while then."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        thread.start()
        more = {"unread": self._spool.unread} if self._spool.unread else {}
        host, port = self.server.server_address[:2]
        self._tell("receiving", {"host": host, "port": port, **more})
        while not stop.wait(HOUSE_S):
            self._keep_house()
        self.server.shutdown()
        deadline = time.monotonic() + GRACE_S
        while self._counts and time.monotonic() < deadline:
            time.sleep(0.05)
        for assoc in self.server.active_associations:
            assoc.abort()


def answer(status: int) -> Dataset:
    """What a sender is answered: a refusal with its reason."""
    from pydicom import Dataset

    told = Dataset()
    told.Status = status
    if status != SUCCESS:
        told.ErrorComment = REASONS[status]
    return told


class Told(Record, frozen=True):
    """What `network.child` says: an output folder, and `ListenOptions` as JSON has them."""

    out: str
    options: dict[str, object]


def told() -> tuple[Told, threading.Event]:
    """What the parent says on standard input, and an event that is set when it closes it. SIGTERM, SIGINT and SIGHUP
    are the parent's: systemd, Ctrl-C and a closed terminal send them to every process, and it ends this one when it
    is done."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # a traceback may quote what a sender wrote
    threading.excepthook = lambda failed: tell("fault", {"reason": failed.exc_type.__name__})
    values = decode(Told, sys.stdin.readline(), path=Path("standard input"), remedy="run `maescan listen`")

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 1024):
                pass
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    return values, stop


MUTEX = threading.Lock()


def tell(name: str, facts: Mapping[str, object]) -> None:
    """An event to the parent, in one write."""
    with MUTEX, contextlib.suppress(OSError, ValueError):
        sys.stdout.write(json.dumps({"event": name, **facts}) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Exit codes: 0, told to stop; 2, it cannot run, with the reason on standard output."""
    os.umask(0o077)
    quiet_libraries()
    values, stop = told()
    try:
        options = ListenOptions.of(values.options)
        spool = Spool(Path(values.out), largest=options.max_instance)
        try:
            Receiver(spool, options, tell).run(stop)
        except OSError as error:
            fault = cannot_listen(options.host, options.port, error)
            tell("fault", {"reason": fault.reason, "remedy": fault.remedy})
            return 2
        finally:
            spool.close()
    except MaescanError as error:
        tell("fault", {"reason": str(error), "remedy": ""})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
