"""The TCP side of the receiver: connections that say nothing cost little and give way."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from socketserver import BaseServer

from pynetdicom import transport
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from maescan.network.peers import tls_fault

PENDING = 64
"""Connections that have not asked for an association yet; of more, the oldest is closed."""
SILENT_S = 10.0
"""How long a connection may say nothing, and how long TLS may take to begin."""
PDU_BYTES = 1 << 20
"""The largest protocol data unit that is read; 128 KiB are agreed (PS3.8 D.1)."""
PIECE = 1 << 16


class BoundedSocket(AssociationSocket):
    """Reads in large pieces, and no unit that would not fit."""

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes` from the peer, or fewer where it is gone. Raises OSError for more than PDU_BYTES."""
        if nr_bytes > PDU_BYTES:
            raise OSError("a protocol data unit that is longer than was agreed")
        found, read = bytearray(nr_bytes), 0
        view, stream = memoryview(found), self.socket
        while read < nr_bytes and stream is not None:
            count = stream.recv_into(view[read : read + PIECE])
            if not count:
                break
            read += count
        view.release()
        del found[read:]
        return found


class Server(ThreadedAssociationServer):
    """Takes connections. One becomes an association when its first bytes are there: until then it is a socket and a
    sleeping thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        *arguments: object,
        tls: ssl.SSLContext | None = None,
        untrusted: Callable[[str, str], None] = lambda *_: None,
        **named: object,
    ):
        """untrusted: told of (address, why) where TLS does not begin."""
        self._tls, self._untrusted = tls, untrusted
        self._pending: dict[socket.socket, float] = {}
        self._mutex = threading.Lock()
        transport.AssociationSocket = BoundedSocket  # type: ignore[misc]  # what the request handler makes
        super().__init__(*arguments, **named)  # type: ignore[arg-type]

    def process_request(  # type: ignore[override]
        self, request: socket.socket, client_address: tuple[str, int]
    ) -> None:
        """Notes a connection and waits for its first bytes in a thread."""
        with self._mutex:
            self._pending[request] = time.monotonic()
            if len(self._pending) > PENDING:
                oldest = min(self._pending, key=lambda each: self._pending[each])
                del self._pending[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def process_request_thread(  # type: ignore[override]
        self, request: socket.socket, client_address: tuple[str, int]
    ) -> None:
        """Waits, begins TLS, and hands over to an association."""
        stream = request
        try:
            if not select.select([request], [], [], SILENT_S)[0] or not request.recv(1, socket.MSG_PEEK):
                raise TimeoutError  # it says nothing, or was closed by either side
            if self._tls is not None:
                request.settimeout(SILENT_S)
                stream = self._begin_tls(self._tls, request, client_address[0])
                with self._mutex:
                    if request in self._pending:
                        self._pending[stream] = self._pending.pop(request)
                stream.settimeout(None)
                if not (stream.pending() or select.select([stream], [], [], SILENT_S)[0]):
                    raise TimeoutError
            self.finish_request(stream, client_address)
        except (OSError, ValueError):  # ValueError: closed meanwhile
            self.asked(stream)
            self.asked(request)
            with contextlib.suppress(OSError):
                self.shutdown_request(stream)

    def _begin_tls(self, tls: ssl.SSLContext, request: socket.socket, address: str) -> ssl.SSLSocket:
        try:
            return tls.wrap_socket(request, server_side=True)
        except ssl.SSLError as error:
            self._untrusted(address, tls_fault(error))
            raise

    def asked(self, connection: socket.socket | None) -> None:
        """Notes that a connection has asked for an association, or is gone."""
        with self._mutex:
            if connection is not None:
                self._pending.pop(connection, None)

    def shutdown(self) -> None:
        """Takes no more connections."""
        BaseServer.shutdown(self)
        self.server_close()
