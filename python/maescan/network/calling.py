"""Calling others: an association, and what it takes to say why there is none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from maescan.errors import MaescanError, require
from maescan.network.peers import Destination, TlsFiles, tls_fault

if TYPE_CHECKING:
    from pynetdicom.association import Association

CONNECT_S, ANSWER_S, ALERT_S = 15.0, 120.0, 2.0
REMEDY = "check title, address, port and TLS of both sides"
REASONS = {
    "1.1.2": "it does not know the application context",
    "1.1.3": "it does not know our title: enter it there",
    "1.1.7": "it is not called so: check its AE title",
    "2.3.1": "it is short of room or busy",
    "2.3.2": "it has too many associations",
}


class CallError(MaescanError):
    """A destination that cannot be reached, or takes no association."""


class ClassError(CallError):
    """A destination that takes none of the classes that it was offered."""


@contextlib.contextmanager
def associated(
    to: Destination, aet: str, contexts: list[tuple[str, list[str]]], tls: TlsFiles | None = None, *, serves: str = ""
) -> Iterator[Association]:
    """An association with `to`, released at the end, aborted where an error ends it. contexts: abstract syntaxes with
    their transfer syntaxes. serves: the class of which we are the provider. Raises CallError; ClassError where none
    of them is taken."""
    require("pynetdicom", "DICOM over a network")
    from pynetdicom import AE, build_role, evt
    from pynetdicom import _config as settings

    settings.LOG_HANDLER_LEVEL = "none"
    node = AE(aet)
    node.connection_timeout = node.acse_timeout = CONNECT_S
    node.dimse_timeout = node.network_timeout = ANSWER_S
    node.maximum_pdu_size = 128 << 10
    for abstract, syntaxes in contexts:
        node.add_requested_context(abstract, syntaxes)
    context = tls.calling() if to.tls and tls else None
    _check_host(to)
    opened: list[socket.socket] = []
    remember = (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket))
    assoc = node.associate(
        to.host,
        to.port,
        ae_title=to.aet,
        tls_args=(context, to.host) if context else None,
        ext_neg=[build_role(serves, scp_role=True)] if serves else None,
        evt_handlers=[remember],
    )
    try:
        if not assoc.is_established and assoc.rejected_contexts and not assoc.accepted_contexts:
            raise ClassError("takes none of these classes", path=str(to), remedy="allow them there")
        if not assoc.is_established:
            raise CallError(_why(assoc, to, context), path=str(to), remedy=REMEDY)
        with undisturbed(assoc):
            yield assoc
        if assoc.is_established:
            assoc.release()
    finally:
        if assoc.is_established:
            assoc.abort()
        if assoc.dul.socket is not None and assoc.dul.socket.socket is not None:
            opened.append(assoc.dul.socket.socket)
        for connection in opened:  # left to the garbage collector otherwise
            connection.close()


class _Gate(threading.Event):
    """Holds who waits at it until `opened`, whoever sets it meanwhile. waited: somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.set()
        return super().wait(timeout)

    def set(self) -> None: ...

    def opened(self) -> None:
        super().set()


@contextlib.contextmanager
def undisturbed(assoc: Association) -> Iterator[None]:
    """Keeps pynetdicom's reactor waiting: between two messages it runs, and where threads are slow it takes an answer
    off the queue that the next send waits for, until that times out."""
    gate, before = _Gate(), vars(assoc)["_reactor_checkpoint"]
    vars(assoc)["_reactor_checkpoint"] = gate
    gate.waited.wait(ANSWER_S)
    try:
        yield
    finally:
        vars(assoc)["_reactor_checkpoint"] = before
        before.set()
        gate.opened()


def _why(assoc: Association, to: Destination, context: ssl.SSLContext | None) -> str:
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        told = [str(each) for each in (answer.result, answer.result_source, answer.diagnostic)] if answer else []
        return f"rejects the association: {REASONS.get('.'.join(told), f'reason {told}')}"
    if context is not None and (fault := _tls_fault(to, context)):
        return f"TLS does not begin: {fault}"
    try:  # pynetdicom does not tell why there was no connection: asked once more
        socket.create_connection((to.host, to.port), ALERT_S).close()
    except OSError as error:
        return f"cannot be reached: {(error.strerror or str(error)).lower()}"
    return "does not answer, or breaks off"


def _check_host(to: Destination) -> None:
    """Raises CallError for a name that is no host's, or that the name service does not know just now: pynetdicom
    raises what the system does."""
    try:
        socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of it is empty or too long
        reason = getattr(error, "strerror", None) or "a part of its name is empty or too long"
        remedy = "check its spelling and this machine's name service, or give an IP address"
        raise CallError(f"its host is not known: {reason}", path=str(to), remedy=remedy) from error


def _tls_fault(to: Destination, context: ssl.SSLContext) -> str:
    """Why TLS does not begin, which pynetdicom does not tell: asked once more. "" where it does, or nobody is there.
    In TLS 1.3 what the other side thinks of our certificate comes behind the handshake."""
    try:
        with (
            socket.create_connection((to.host, to.port), ALERT_S) as plain,
            context.wrap_socket(plain, server_hostname=to.host) as secured,
        ):
            secured.recv(1)
    except ssl.SSLError as error:
        return tls_fault(error)
    except OSError:
        pass
    return ""


def echo(to: Destination, aet: str, tls: TlsFiles | None = None) -> float:
    """Asks a node whether it is there (C-ECHO); seconds until it answered. Raises CallError."""
    from maescan.network.quiet import quiet_libraries

    quiet_libraries()
    with associated(to, aet, [("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])], tls) as assoc:
        start = time.monotonic()
        answer = assoc.send_c_echo()
        if "Status" not in answer or answer.Status != 0:
            raise CallError("does not answer an echo", path=str(to), remedy="check that it allows C-ECHO")
    return time.monotonic() - start
