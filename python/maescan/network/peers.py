"""Who may send and who receives: application entity titles, addresses, certificates."""

from __future__ import annotations

import re
import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maescan.errors import ConfigError

if TYPE_CHECKING:
    import ssl

TITLE = re.compile(r"[ -\[\]-~]{1,16}")
"""An application entity title: printable ASCII without a backslash (PS3.5, VR AE)."""
OUT_OF_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


def title(text: str) -> str:
    """Raises ConfigError for what is no application entity title."""
    if not TITLE.fullmatch(text) or not text.strip():
        raise ConfigError(f"'{text}' is no AE title", remedy="use 1 to 16 printable characters without a backslash")
    return text.strip()


class Sender(NamedTuple):
    """A title, and the addresses that it may call from."""

    aet: str
    network: IPv4Network | IPv6Network

    @classmethod
    def parse(cls, text: str) -> Sender:
        """AET@ADDRESS or AET@NETWORK/BITS. Raises ConfigError."""
        aet, at, address = text.rpartition("@")
        try:
            return cls(title(aet) if at else "", ip_network(address if at else "", strict=False))
        except ValueError as error:
            remedy = "name a title and an IP address, for example SCANNER1@10.1.2.3"
            raise ConfigError(f"--from {text} is not AET@ADDRESS", remedy=remedy) from error

    def is_at(self, address: str) -> bool:
        """Whether a call from `address` may be this one's."""
        return host_address(address) in self.network


def host_address(address: str) -> object:
    """An address as `Sender.network` holds it: of IPv4 in IPv6's clothes, the IPv4."""
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


class Destination(NamedTuple):
    """Where DICOM is sent to."""

    aet: str
    host: str
    port: int
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Destination:
        """AET@HOST:PORT, with /tls behind it for TLS. Raises ConfigError."""
        found = re.fullmatch(r"([^@]+)@(\[[0-9A-Fa-f:.]+\]|[^@:/\s]+):([0-9]{1,5})(/tls)?", text)
        if not found or not 0 < int(found[3]) < 65536:
            remedy = "name a title, a host and a port, for example PACS@10.1.2.4:104 or PACS@pacs:2762/tls"
            raise ConfigError(f"{text} is not AET@HOST:PORT[/tls]", remedy=remedy)
        return cls(title(found[1]), found[2].strip("[]"), int(found[3]), bool(found[4]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.aet}@{host}:{self.port}{'/tls' if self.tls else ''}"


def tls_fault(error: ssl.SSLError) -> str:
    """Why TLS did not begin, in OpenSSL's words: they hold nothing of the other side's."""
    words = (getattr(error, "verify_message", "") or error.reason or "no TLS").replace("_", " ").rstrip(".").lower()
    return f"the other side refuses us: {words}" if " alert " in words else words


def out_of_time(serving: ssl.SSLContext, asking: ssl.SSLContext) -> str:
    """Whether who serves has a certificate that has expired or does not hold yet, in OpenSSL's words; "" where it is
    in force. They shake hands in memory."""
    import ssl

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = serving.wrap_bio(to_server, to_client, server_side=True), asking.wrap_bio(to_client, to_server)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return tls_fault(error) if error.verify_code in OUT_OF_TIME else ""
    return ""


class TlsFiles(NamedTuple):
    """PEM files: our key and certificate, and the authorities that sign those of others."""

    key: Path
    cert: Path
    authorities: Path

    def serving(self) -> ssl.SSLContext:
        """For who calls us: it must show a certificate. Raises ConfigError."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return self._loaded(context)

    def calling(self) -> ssl.SSLContext:
        """For whom we call: its certificate must name the host or address that is called. Raises ConfigError."""
        import ssl

        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def check(self) -> None:
        """Raises ConfigError for files that cannot be used, and where our certificate or every authority is out of
        its time: no call would come about. Before a service starts; one that runs goes on, and tells each refusal."""
        import ssl

        serving, asking = self.serving(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        asking.check_hostname, asking.verify_flags = False, asking.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN
        asking.load_verify_locations(self.cert)  # a caller that trusts it whoever signed it
        ends = [ssl.cert_time_to_seconds(str(found["notAfter"])) for found in serving.get_ca_certs()]
        if ends and max(ends) < time.time():
            remedy = "give --tls KEY CERT CA with the authority's new one, or set this machine's clock"
            raise ConfigError(
                "no authority's certificate in it is in force any more", path=self.authorities, remedy=remedy
            )
        if fault := out_of_time(serving, asking):
            remedy = "have it signed anew for --tls KEY CERT CA, or set this machine's clock"
            raise ConfigError(f"nobody would take this certificate: {fault}", path=self.cert, remedy=remedy)

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        import ssl

        context.minimum_version = ssl.TLSVersion.TLSv1_2
        path = self.key
        try:
            with open(self.key, "rb"):
                path = self.cert
            context.load_cert_chain(self.cert, self.key, password=self._no_password)
            path = self.authorities
            context.load_verify_locations(self.authorities)
        except (OSError, ssl.SSLError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            remedy = "give --tls KEY CERT CA, PEM files; the key without a password, readable for this user"
            raise ConfigError(f"cannot be used for TLS: {reason or error}", path=path, remedy=remedy) from error
        return context

    def _no_password(self) -> str:
        remedy = "write it without one: openssl pkey -in KEY -out NEWKEY"
        raise ConfigError("the key is locked with a password", path=self.key, remedy=remedy)


def cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    """What is told where the system lets nobody listen at a place."""
    reason = f"cannot listen on {host}, port {port}: {error.strerror or error}"
    return ConfigError(reason, remedy="use another --port or --host")
