from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
from pydicom import dcmread

from helpers.dicom_node import CT, association, receiver, send, spooled, tool
from maescan.network.journal import Journal
from maescan.network.receiver import PLAIN, SYNTAXES
from maescan.network.spool import REASONS, folder_of


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One receiver for tests that need no other: (its folder, itself, its port)."""
    folder = tmp_path_factory.mktemp("shared") / "out"
    with receiver(folder) as (node, port):
        yield folder, node, port


@pytest.mark.slow
def test_dcmtk_sends_and_all_is_stored(out, slices):
    storescu = tool("storescu")
    with receiver(out) as (node, port):
        called = [storescu, "-R", "-aet", "SCANNER1", "-aec", "MAESCAN", "127.0.0.1", str(port)]
        subprocess.run([*called, *map(str, slices)], check=True, timeout=60)
        told = node.until("association")
    assert (told["ended"], told["stored"], told["refused"]) == ("released", 6, 0)
    assert {dcmread(path).SOPInstanceUID for path in spooled(out)} == {
        dcmread(path).SOPInstanceUID for path in slices
    }
    for path in spooled(out):
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert (out / ".maescan" / "spool" / "journal.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_echo_is_answered(shared):
    subprocess.run([tool("echoscu"), "-aec", "MAESCAN", "127.0.0.1", str(shared[2])], check=True, timeout=60)


def refusal(found) -> tuple[int, int, int]:
    """Result, source and diagnostic of a rejected association."""
    assert found.is_rejected
    answer = found.acceptor.primitive
    return answer.result, answer.result_source, answer.diagnostic


@pytest.mark.slow
def test_senders_that_are_not_named_are_rejected_and_those_that_are_are_taken(out, slices):
    named = ["SCANNER1@10.0.0.1", "SCANNER2@10.0.0.1", "SCANNER2@127.0.0.0/8"]
    with receiver(out, **{"from": named}) as (node, port):
        for count, aet in enumerate(("SCANNER3", "SCANNER1"), start=1):
            with association(port, aet) as found:
                assert refusal(found) == (1, 1, 3)
                node.until("rejected", count)
        assert send(port, slices[:1], aet="SCANNER2") == [0]


@pytest.mark.slow
def test_without_room_an_association_is_rejected_for_now(out):
    with receiver(out, min_free="9999T") as (node, port), association(port) as found:
        assert refusal(found) == (2, 3, 1)
        node.until("rejected")


def test_another_called_title_is_rejected(shared):
    with association(shared[2], called="OTHER") as found:
        assert refusal(found) == (1, 1, 7)


def full_at(when):
    """Code of a disk that takes no image where `when` is true of `count[0]`, how many have come."""
    full = "import os, errno; from maescan.network import spool; real = os.replace; count = [0]\n"
    full += f"def replace(*a):\n count[0] += 1\n if {when}: raise OSError(errno.ENOSPC, 'full')\n real(*a)\n"
    return full + "os.replace = replace"


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(out, slices):
    with receiver(out, full_at("count[0] > 3")) as (node, port):
        assert send(port, slices) == [0, 0, 0, 0xA700, 0xA700, 0xA700]
        assert node.until("association")["refused"] == 3
    assert len(spooled(out)) == 3 and half(out)


def half(out):
    """Whether the series that came is known not to be whole, though its sender released its association."""
    with contextlib.closing(Journal(folder_of(out))) as journal:
        (series,) = journal.ready(1e12, 0, 0)
        return series.aborted


@pytest.mark.slow
def test_an_image_that_is_taken_at_the_second_try_makes_its_series_whole(out, slices):
    """Refused ones that did not come again left half a series, which was scored as a whole one."""
    with receiver(out, full_at("count[0] == 2")) as (node, port):
        assert send(port, [*slices[:3], slices[1]]) == [0, 0xA700, 0, 0]
        assert node.until("association")["refused"] == 1
    assert len(spooled(out)) == 3 and not half(out)


@pytest.mark.slow
def test_a_disk_that_fills_while_an_image_comes(out, slices):
    full = "import errno, io\nfrom maescan.network.spool import Incoming\nreal = io.FileIO.write\n"
    full += "def write(self, data):\n if self.tell() + len(data) > 900: raise OSError(errno.ENOSPC, 'full')\n"
    full += " return real(self, data)\n"
    full += "class Disk(io.FileIO):\n write = write\nIncoming.__bases__ = (Disk,)"
    with receiver(out, full) as (_, port):
        assert send(port, slices[:2]) == [0xA700, 0xA700]
    assert not spooled(out) and not list((out / ".maescan" / "spool" / "part").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("fault, status", [("ENOSPC", 0xA700), ("EROFS", 0x0110)])
def test_a_disk_that_takes_no_more_files(out, slices, fault, status):
    """The transfer broke off, the sender was told nothing, and what it had sent before waited for 25 minutes."""
    full = "import errno, os\nreal, count = os.open, [0]\ndef opened(path, flags, *more, **named):\n"
    full += " count[0] += bool(flags & os.O_EXCL and os.fspath(path).endswith('.dcm'))\n"
    full += f" if count[0] > 2 and flags & os.O_EXCL: raise OSError(errno.{fault}, 'refused')\n"
    full += " return real(path, flags, *more, **named)\nos.open = opened"
    with receiver(out, full) as (node, port):
        assert send(port, slices[:4]) == [0, 0, status, status]
        assert node.until("association") | {"peer": ""} == {
            **{"event": "association", "ended": "released", "stored": 2, "refused": 2, "peer": ""}
        }
    assert len(spooled(out)) == 2 and not list((out / ".maescan" / "spool" / "part").iterdir())


@pytest.mark.slow
def test_an_instance_over_the_limit_is_refused(out, slices):
    with receiver(out, max_instance="1K") as (node, port):
        with association(port) as found:
            answer = found.send_c_store(dcmread(slices[0]))
        assert node.until("refused")["reason"] == answer.ErrorComment == REASONS[0xA700]
    assert answer.Status == 0xA700 and max(map(len, REASONS.values())) <= 64


def test_our_order_of_syntaxes_decides(shared):
    assert tuple(SYNTAXES[-3:]) == PLAIN == ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2")
    proposed = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"]
    for count in (1, 2, 3, 4):
        with association(shared[2], contexts=[(CT, proposed[:count])]) as found:
            assert found.accepted_contexts[0].transfer_syntax == [proposed[count - 1]]
            assert found.acceptor.maximum_length == 128 << 10


def test_a_class_that_is_no_image_is_not_taken(shared):
    with association(shared[2], contexts=[("1.2.3.4", ["1.2.840.10008.1.2"])]) as found:
        assert not found.accepted_contexts


@pytest.mark.slow
def test_silent_connections_keep_nobody_out(shared, slices):
    silent = [socket.create_connection(("127.0.0.1", shared[2])) for _ in range(200)]
    half = [socket.create_connection(("127.0.0.1", shared[2])) for _ in range(20)]
    for each in half:
        each.sendall(b"\1")
    assert send(shared[2], slices) == [0] * 6
    for each in silent + half:
        each.close()


@pytest.mark.slow
def test_a_silent_connection_is_closed(out):
    quick = "from maescan.network import server; server.SILENT_S = 0.2"
    with receiver(out, quick) as (_, port), socket.create_connection(("127.0.0.1", port)) as silent:
        silent.settimeout(10)
        assert silent.recv(1) == b""


def test_a_unit_that_would_fill_the_memory_ends_its_connection(shared, slices):
    with socket.create_connection(("127.0.0.1", shared[2])) as bad:
        bad.sendall(b"\1\0\xff\xff\xff\xff" + b"\0" * 1000)
        bad.settimeout(15)
        assert bad.recv(64)[:1] in (b"", b"\7")
    assert send(shared[2], slices[:1]) == [0]


def test_who_breaks_off_is_noted(shared, slices):
    folder, node, port = shared
    before = len(node.events)
    assert send(port, slices[:2], ends="abort") == [0, 0]
    while not (found := [event for event in node.events[before:] if event["event"] == "association"]):
        time.sleep(0.01)
    assert found[-1]["ended"] == "aborted"
    assert {dcmread(path).SOPInstanceUID for path in slices[:2]} <= {
        dcmread(path).SOPInstanceUID for path in spooled(folder)
    }


@pytest.mark.slow
def test_a_connection_that_is_lost_while_its_image_is_written_leaves_no_series_waiting(out, slices):
    slow = "import time, pathlib; from maescan.network.spool import Spool; real = Spool.keep\n"
    slow += f"def keep(*a):\n pathlib.Path({str(out / 'keeping')!r}).touch(); time.sleep(0.5)\n return real(*a)\n"

    def sends(found):
        with contextlib.suppress(RuntimeError):
            found.send_c_store(dcmread(slices[0]))

    with receiver(out, slow + "Spool.keep = keep") as (node, port), association(port, ends="") as found:
        sender = threading.Thread(target=sends, args=(found,))
        sender.start()
        while not (out / "keeping").exists():
            time.sleep(0.01)
        found.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        assert node.until("association")["ended"] == "aborted"
        sender.join(30)
        while not spooled(out):
            time.sleep(0.01)
        time.sleep(0.5)  # what comes behind the file
    journal = Journal(folder_of(out))
    db = sqlite3.connect(journal.path)
    assert len(journal.paths()) == 1 and db.execute("SELECT COUNT(*) FROM sending").fetchone() == (0,)
    db.close()
    journal.close()


@pytest.mark.slow
def test_logs_hold_no_identifiers(out, tmp_path):
    from helpers.series import write_slices

    secret = "PLANTED^NAME"
    files = write_slices(tmp_path / "s", range(2), uid="1.2.77777", patient=secret)
    bad = dcmread(files[1])
    bad.PatientBirthDate, bad.SeriesDescription = "19770707", secret
    bad.SOPClassUID = CT
    bad.save_as(files[1])
    with receiver(out) as (node, port), association(port, aet="PLANTEDAET", ends="abort") as found:
        for path in files:
            found.send_c_store(dcmread(path))
        found.abort()
        node.until("association")
        node.process.stdin.close()
        node.process.wait(60)
        said = str(node.events) + node.process.stderr.read()
    assert said and not [word for word in ("PLANTED", "77777", "1977", "1.2.") if word in said], said


@pytest.mark.slow
def test_killed_while_images_come_it_has_all_that_it_acknowledged(out, slices, tmp_path):
    from helpers.series import write_slices

    files = write_slices(tmp_path / "more", range(60), uid="1.2.10")
    acknowledged: set[str] = set()
    for moment in (0.02, 0.1, 0.25):
        with receiver(out) as (node, port), association(port, ends="") as found:
            begin = time.monotonic()
            for path in files:
                dataset = dcmread(path)
                try:
                    answer = found.send_c_store(dataset)
                except RuntimeError:
                    break
                if "Status" not in answer:
                    break
                assert answer.Status == 0
                acknowledged.add(str(dataset.SOPInstanceUID))
                if time.monotonic() - begin > moment and node.process.poll() is None:
                    node.process.kill()
            node.kill()
        stored = [str(dcmread(path).SOPInstanceUID) for path in spooled(out)]
        assert len(stored) == len(set(stored)) and acknowledged <= set(stored)
    with receiver(out) as (_, port):
        assert set(send(port, files)) == {0}
    assert len(spooled(out)) == len(files) and not [path for path in spooled(out) if "conflict" in path.name]
    assert acknowledged
