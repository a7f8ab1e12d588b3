from __future__ import annotations

import socket
import time

import pytest
from typer.testing import CliRunner

from helpers.certificates import certificates
from helpers.dicom_node import association, receiver
from maescan.cli import app
from maescan.errors import ConfigError
from maescan.network.calling import CallError, echo
from maescan.network.peers import Destination, TlsFiles


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with receiver(tmp_path_factory.mktemp("received") / "out") as (_, port):
        yield port


def test_an_answer_is_left_to_who_waits_for_it(port):
    with association(port) as found:
        for seconds in (0.0, 0.1):
            found.dimse.msg_queue.put((1, "answer"))
            time.sleep(seconds)
            assert found.dimse.msg_queue.get(timeout=0.1) == (1, "answer")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom: a refused socket
def test_an_echo_and_why_there_is_none(port):
    assert echo(Destination("MAESCAN", "127.0.0.1", port), "US") > 0
    said = CliRunner().invoke(app, ["echo", f"MAESCAN@127.0.0.1:{port}", "--aet", "US"])
    assert said.exit_code == 0 and said.output.startswith(f"MAESCAN@127.0.0.1:{port} answers US in ")
    with pytest.raises(CallError, match="not called so"):
        echo(Destination("OTHER", "127.0.0.1", port), "US")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(CallError, match="cannot be reached: connection refused"):
            echo(Destination("MAESCAN", "127.0.0.1", nobody.getsockname()[1]), "US")
    said = CliRunner().invoke(app, ["echo", "MAESCAN@127.0.0.1:1/tls"])
    assert isinstance(said.exception, ConfigError)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
def test_a_name_that_is_no_hosts(host):
    with pytest.raises(CallError, match=r"its host is not known: .*give an IP address"):
        echo(Destination("PACS", host, 104), "US")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom: a refused socket
def test_tls_takes_only_certificates_of_our_authority(tmp_path):
    ours, theirs = certificates(tmp_path, "us"), certificates(tmp_path, "them", "otherca")
    with receiver(tmp_path / "out", tls=[str(path) for path in ours]) as (node, port):
        to = Destination("MAESCAN", "127.0.0.1", port, tls=True)
        assert echo(to, "US", TlsFiles(*certificates(tmp_path, "scanner"))) > 0
        for files, why in (
            (theirs, "(self-signed|unable to get)"),
            ((theirs[0], theirs[1], ours[2]), "the other side refuses us: .*alert unknown ca"),
        ):
            with pytest.raises(CallError, match=f"TLS does not begin: {why}"):
                echo(to, "US", TlsFiles(*files))
        with pytest.raises(CallError):
            echo(to._replace(tls=False), "US")
        told = [node.until("rejected", count) for count in (1, 3, 5)]
    assert {each["peer"] for each in told} == {"127.0.0.1"}
    assert [each["reason"] for each in told] == [
        "tls: the other side refuses us: tlsv1 alert unknown ca",
        "tls: unable to get local issuer certificate",
        "tls: wrong version number",
    ]
