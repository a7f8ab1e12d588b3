from __future__ import annotations

import pytest
from typer.testing import CliRunner

from helpers.certificates import certificates, expired
from maescan.cli import app
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


def test_certificates_out_of_their_time_are_refused_before_anything_starts(tmp_path):
    """Each call would fail, and a listener that nobody can call looks well."""
    key, cert, authority = certificates(tmp_path, "us")
    TlsFiles(key, cert, authority).check()
    old, old_authority = expired(cert, key), expired(authority, tmp_path / "ca.key")
    for files, at_fault, why in (
        ((key, old, authority), old, "nobody would take this certificate: certificate has expired"),
        ((key, cert, old_authority), old_authority, "no authority's certificate in it is in force any more"),
    ):
        with pytest.raises(ConfigError, match=why) as caught:
            TlsFiles(*files).check()
        assert caught.value.path == at_fault and caught.value.remedy
        for command in (("echo", "A@127.0.0.1:1/tls"), ("listen", "--bundle", "none", "--out", tmp_path / "out")):
            said = CliRunner().invoke(app, [*map(str, command), "--tls", *map(str, files)])
            assert why in str(said.exception) and not (tmp_path / "out").exists()
