from __future__ import annotations

import pytest

from helpers.certificates import certificates
from maescan.errors import ConfigError
from maescan.network.peers import Destination, Sender, TlsFiles


def test_senders_by_address_and_network():
    one, many = Sender.parse("CT1@10.1.2.3"), Sender.parse("CT 2@10.1.0.0/16")
    assert one.is_at("10.1.2.3") and not one.is_at("10.1.2.4") and one.is_at("::ffff:10.1.2.3")
    assert many.is_at("10.1.99.1") and not many.is_at("10.2.0.1") and not many.is_at("fe80::1%eth0")


@pytest.mark.parametrize("text", ["PACS@host:104", "PACS@10.0.0.1:2762/tls", "A B@[fe80::1]:11112"])
def test_destinations_are_written_as_they_were_read(text):
    assert str(Destination.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["host:104", "@h:1", "A@h", "A@h:0", "A@h:99999", "A@h:1/ssl", "A@h:1\n", "A@h h:1", "A@b@c:1"]
)
def test_what_is_no_destination(text):
    with pytest.raises(ConfigError):
        Destination.parse(text)


def test_certificates_are_checked_at_once(tmp_path):
    files = certificates(tmp_path, "us")
    assert TlsFiles(*files).serving() and TlsFiles(*files).calling()
    none = tmp_path / "none"
    for bad, named in (
        ((files[1], files[1], files[2]), files[1]),
        ((none, files[1], files[2]), none),
        ((files[0], none, files[2]), none),
        ((files[0], files[1], none), none),
        ((files[0], files[0], files[2]), files[0]),
    ):
        with pytest.raises(ConfigError, match="cannot be used for TLS") as caught:
            TlsFiles(*bad).serving()
        assert caught.value.path == named
