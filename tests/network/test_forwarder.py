from __future__ import annotations

import time

import pytest
from pynetdicom.sop_class import MRImageStorage
from typer.testing import CliRunner

from helpers.dicom_node import Node
from helpers.pacs import Pacs, add_results
from maescan.cli import app
from maescan.errors import DataError
from maescan.network.forwarder import Forwarder, locked, send, verdict
from maescan.network.options import ListenOptions
from maescan.network.peers import Destination, TlsFiles
from maescan.network.queue import Queue, Results


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def forward(out, pacs, events=None):
    """One pass, as the forwarder's process does it."""
    queue, name = Queue(out), str(pacs.destination)
    queue.add(name, Results(out).listed())
    told = [] if events is None else events
    Forwarder(out, queue, pacs.destination, ListenOptions(), lambda *each: told.append(each)).once()
    state = len(queue.waiting(name)), queue.parked(name), queue.due(name) > time.time()
    queue.close()
    return state


def test_what_each_status_means():
    assert [verdict(status) for status in (0, 0xB000, 0xB007)] == ["sent"] * 3
    assert [verdict(status) for status in (0xA700, 0xA7FF, 0x0110)] == ["retried"] * 3
    assert [verdict(status) for status in (0x0122, 0xA900, 0xC000, 0xCFFF, 0x0124, 0x0211)] == ["parked"] * 6


@pytest.mark.slow
def test_sent_once_and_not_again_after_a_restart(out):
    uids = add_results(out, range(5))
    with Pacs().serving() as pacs:
        assert forward(out, pacs) == (0, [], False)
        assert forward(out, pacs) == (0, [], False)
        uids += add_results(out, [7])
        forward(out, pacs)
    assert pacs.got == uids


def test_warnings_leave_the_queue_and_refusals_are_parked_with_their_reason(out):
    add_results(out, range(4))
    with Pacs([0xB000, 0xA900, 0xC123, 0]).serving() as pacs:
        waiting, parked, backing_off = forward(out, pacs)
        assert (waiting, backing_off, len(pacs.got)) == (0, False, 2)
        assert parked == [
            ("dicom/scan1_sr.dcm", "A900: it refuses it"),
            ("dicom/scan2_sr.dcm", "C123: it refuses it"),
        ]
        assert forward(out, pacs)[0] == 0 and len(pacs.got) == 2


@pytest.mark.slow
def test_no_room_is_waited_for(out):
    uids = add_results(out, range(3))
    with Pacs([0, 0xA700]).serving() as pacs:
        assert forward(out, pacs) == (2, [], True)
        assert forward(out, pacs)[0] == 0
    assert pacs.got == uids


def test_a_class_that_it_does_not_take_is_parked(out):
    add_results(out, range(2))
    with Pacs().serving(MRImageStorage) as pacs:
        waiting, parked, _ = forward(out, pacs)
    assert waiting == 0 and {reason for _, reason in parked} == {"0122: it does not take this class"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom: a refused socket
def test_a_pacs_that_is_down_or_breaks_off_is_tried_again(out):
    uids, pacs, events = add_results(out, range(3)), Pacs([0, -1]), []
    pacs.port = 9
    assert forward(out, pacs, events) == (3, [], True)
    assert events[0][0] == "unsent" and events[0][1]["reason"]
    pacs.port = 0
    with pacs.serving():
        assert forward(out, pacs)[0] == 2
        assert forward(out, pacs)[0] == 0
    assert pacs.got == uids


@pytest.mark.parametrize("fault", ["name", "certificate"])
def test_a_destination_that_nobody_can_call_is_put_off_and_ends_nothing(out, tmp_path, fault):
    """Its error would end the process, and with it what others are sent."""
    add_results(out, range(2))
    queue, events = Queue(out), []
    to = Destination("PACS", "no-such-host.invalid" if fault == "name" else "127.0.0.1", 104, tls=fault != "name")
    queue.add(str(to), Results(out).listed())
    options = ListenOptions(tls=TlsFiles(*(tmp_path / name for name in ("key", "cert", "ca"))))
    Forwarder(out, queue, to, options, lambda *each: events.append(each)).once()
    assert len(queue.waiting(str(to))) == 2 and queue.due(str(to)) > time.time()
    assert [name for name, _ in events] == ["unsent"] and events[0][1]["remedy"]
    queue.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom: a refused socket
def test_the_command_says_why_a_result_was_not_sent(out):
    add_results(out, range(3))
    (out / "dicom" / "scan1_sr.dcm").write_bytes(b"")
    with Pacs([0xC000, 0xA700]).serving() as pacs:
        said = CliRunner().invoke(app, ["send", str(out), "--forward", str(pacs.destination)])
    assert said.exit_code == 3 and "0 sent, 1 refused, 1 waiting, 0 before" in said.stdout
    assert said.stderr.splitlines() == [
        "dicom/scan1_sr.dcm: is not as it was written: delete it, and score its scan again",
        f"{pacs.destination}: answers A700, which passes (run it again)",
        f"{pacs.destination}: dicom/scan0_sr.dcm: C000: it refuses it",
    ]
    said = CliRunner().invoke(app, ["send", str(out), "--forward", "PACS@127.0.0.1:9"])
    assert "PACS@127.0.0.1:9: cannot be reached: connection refused (check title, address" in said.stderr


def test_a_pacs_with_implicit_syntax_alone_gets_them_too(out):
    uids = add_results(out, range(2))
    with Pacs().serving(syntaxes=["1.2.840.10008.1.2"]) as pacs:
        assert forward(out, pacs) == (0, [], False)
    assert pacs.got == uids


@pytest.mark.slow
def test_the_command_says_what_came_of_them(out):
    add_results(out, range(3))
    with Pacs([0, 0xC000]).serving() as pacs:
        command = ["send", str(out), "--forward", str(pacs.destination)]
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 3 and "2 sent, 1 refused, 0 waiting, 0 before" in said.output
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 0 and "1 sent, 0 refused, 0 waiting, 2 before" in said.output
    assert len(pacs.got) == len(set(pacs.got)) == 3
    with locked(out), pytest.raises(DataError, match="another forwarder"):
        send(out, ListenOptions(forward=(pacs.destination,)), print)
    missing = CliRunner().invoke(app, ["send", str(out / "none"), "--forward", "A@127.0.0.1:1"])
    assert isinstance(missing.exception, DataError)


@pytest.mark.slow
def test_the_process_sends_what_comes_and_survives_a_kill(out):
    uids = add_results(out, range(3))
    with Pacs().serving() as pacs:
        values = {"out": str(out), "options": {"forward": [str(pacs.destination)]}}
        node = Node("maescan.network.forwarder", values)
        node.until("forwarded")
        (out / "dicom" / "scan0_sr.dcm").write_bytes(b"")  # ends nothing
        assert node.until("damaged")["results"] == 1
        node.kill()
        uids += add_results(out, range(3, 6))
        again = Node("maescan.network.forwarder", values)
        again.until("forwarded")
        assert again.stop() == 0
    assert sorted(pacs.got) == sorted(uids)


def test_a_result_that_is_put_off_holds_up_no_other(out):
    """0110, a failure while processing, is of that one; the pauses grow until something is taken."""
    uids = add_results(out, range(3))
    with Pacs([0x0110, 0, 0, 0x0110, 0x0110]).serving() as pacs:
        assert forward(out, pacs) == (1, [], True) and pacs.got == uids[1:]
        queue, failures = Queue(out), []
        for _ in range(2):
            forward(out, pacs)
            failures += queue._all("SELECT failures FROM destinations")
        queue.close()
        assert failures == [(2,), (3,)]  # a pause doubles with each: `test_queue`
        assert forward(out, pacs)[0] == 0 and sorted(pacs.got) == sorted(uids)
