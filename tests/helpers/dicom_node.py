"""A receiver in a process of its own, and what sends to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from maescan.network.calling import undisturbed

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


def tool(name: str) -> str:
    """A program of dcmtk or another; without it the test is skipped, and fails in CI. pynetdicom installs some of the
    same name beside this Python, which come first where its environment is activated."""
    elsewhere = [part for part in os.environ["PATH"].split(os.pathsep) if part != str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join(elsewhere))
    if not found and os.environ.get("FAIL_ON_MISSING_TOOLS"):
        pytest.fail(f"{name} is missing")
    if not found:
        pytest.skip(f"needs {name}")
    return found


class Node:
    """A process of ours, started with what it is told on standard input. events: what it has told."""

    def __init__(self, module: str, values: dict[str, Any], before: str = ""):
        code = f"import sys; {before}\nfrom {module} import main\nsys.exit(main())"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def until(self, name: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of a name."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events if event["event"] == name]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, 60), f"no {name}: {self.events}"
        return found()[count - 1]

    def kill(self) -> None:
        self.process.kill()
        self._end()

    def stop(self) -> int:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(60)
        self._reader.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code


@contextlib.contextmanager
def receiver(out: Path, before: str = "", **options: Any) -> Iterator[tuple[Node, int]]:
    """A receiver into `out` and its port. before: Python that runs in it first."""
    out.mkdir(exist_ok=True)
    values = {"out": str(out), "options": {"port": 0, "min_free": "1M", **options}}
    node = Node("maescan.network.receiver", values, before)
    try:
        yield node, node.until("receiving")["port"]
    finally:
        node.stop()


@contextlib.contextmanager
def association(
    port: int, aet: str = "SCANNER1", called: str = "MAESCAN", *, ends: str = "release", contexts: Any = ()
) -> Iterator[Any]:
    """An association with a receiver; ends: release, abort, or nothing."""
    node, opened = AE(aet), []
    for abstract, syntaxes in contexts or [(MR, PLAIN), (CT, PLAIN)]:
        node.add_requested_context(abstract, syntaxes)
    remember = (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket))
    found = node.associate("127.0.0.1", port, ae_title=called, evt_handlers=[remember])
    try:
        with undisturbed(found) if found.is_established else contextlib.nullcontext():
            yield found
    finally:
        if found.is_established:
            found.release() if ends == "release" else found.abort()
        for connection in opened:  # pynetdicom leaves that of a peer that was killed
            connection.close()


def send(port: int, files: list[Path], **named: Any) -> list[int]:
    """Statuses of files that are sent in one association; -1 where no answer came."""
    with association(port, **named) as found:
        assert found.is_established
        answers = [found.send_c_store(dcmread(path)) for path in files]
    return [int(answer.Status) if "Status" in answer else -1 for answer in answers]


def spooled(out: Path) -> list[Path]:
    """The images in a spool."""
    return sorted((out / ".maescan" / "spool" / "in").rglob("*.dcm"))
