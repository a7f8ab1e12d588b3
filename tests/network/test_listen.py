from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from helpers.dicom_node import send, spooled
from helpers.scoring_stub import rows
from helpers.series import write_slices
from helpers.stubs import stub_bundle
from maescan.errors import DataError
from maescan.network.listen import private, results_of

SECRET = "PLANTED"


class Listening:
    """`maescan listen` as it is started."""

    def __init__(self, bundle, out, *more):
        command = [
            "listen",
            "--bundle",
            bundle,
            "--out",
            out,
            "--port",
            "0",
            "--settle",
            "0.3",
            "--min-free",
            "1M",
            *more,
        ]
        code = "from maescan.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, command), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events, self._news = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def until(self, name, count=1):
        def found():
            return [event for event in self.events if event["event"] == name]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, 90), self.events
        return found()[count - 1]

    def children(self):
        """Processes of receiver and forwarder, by their module."""
        found = {}
        for number in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{number}/status") as status, open(f"/proc/{number}/cmdline") as line:
                    if f"PPid:\t{self.process.pid}\n" in status.read() and "maescan.network." in (
                        words := line.read()
                    ):
                        found[words.split("maescan.network.")[1].split("\0")[0]] = int(number)
            except OSError:
                continue
        return found

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(60)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, said


@pytest.mark.slow
def test_received_scored_and_private_and_both_processes_may_be_killed(exported_bundle, tmp_path):
    out = tmp_path / "out"
    files = write_slices(tmp_path / "s", range(8), patient=SECRET)
    listening = Listening(exported_bundle, out, "--log", tmp_path / "events")
    began = listening.until("receiving")
    port = began["port"]
    assert began["host"] == "127.0.0.1" and send(port, files[:4]) == [0] * 4
    told = {json.loads(line)["event"] for line in (tmp_path / "events").read_text().splitlines()}
    assert "receiving" in told and all(event["time"] for event in listening.events)
    first = listening.until("scored")
    os.kill(listening.children()["receiver"], signal.SIGKILL)
    port = listening.until("receiving", 2)["port"]
    assert send(port, files[4:6]) == [0] * 2
    assert listening.until("scored", 2)["scan"] == first["scan"]
    assert send(port, files[6:]) == [0] * 2
    receiver = listening.children()["receiver"]
    code, said = listening.end(signal.SIGKILL)
    assert code == -9 and not [word for word in (SECRET, "1.2.9") if word in said + str(listening.events)]
    assert len(spooled(out)) == 8

    again = Listening(exported_bundle, out)
    again.until("receiving")
    assert not os.path.exists(f"/proc/{receiver}/stat") or receiver not in again.children().values()
    assert again.until("scored")["scan"] == first["scan"]
    assert again.end() == (0, "")
    assert [row["slices"] for row in rows(out / "scans.csv")] == ["8"]
    for path in [out, *out.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_signal_to_every_process_is_an_end_without_a_restart(exported_bundle, tmp_path):
    """As systemd, Ctrl-C in a terminal and one that is closed send it."""
    node = Listening(exported_bundle, tmp_path / "out", "--forward", "PACS@127.0.0.1:9")
    node.until("forwarding")
    children = node.children()
    assert set(children) == {"receiver", "forwarder"}
    for child in children.values():
        os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        node.process.wait(2.5)
    assert node.children() == children
    assert node.end() == (0, "")
    assert "restarted" not in [event["event"] for event in node.events]


def test_what_is_forwarded_where_nothing_was_named():
    assert results_of(stub_bundle()) == ("sr", "sc", "ko")
    assert results_of(stub_bundle(calibration={"maps": {"p99": 0.1}})) == ("sr", "sc", "seg", "ko")


def test_a_folder_of_somebody_else_is_not_taken(tmp_path):
    (tmp_path / "theirs").write_text("dear")
    with pytest.raises(DataError, match="did not write"):
        private(tmp_path)


def test_a_port_that_is_taken_is_told_in_a_line_and_leaves_no_folder(exported_bundle, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = Listening(exported_bundle, tmp_path / "out", "--port", port)
        code, said = node.process.wait(60), node.end()[1]
    assert code == 2 and not node.events and not (tmp_path / "out").exists()
    told = f"maescan: cannot listen on 127.0.0.1, port {port}: Address already in use (use another --port or --host)"
    assert said.splitlines() == [told]
