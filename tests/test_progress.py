"""Nothing that takes long is silent: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

from maescan import progress
from maescan.progress import State, clock, line


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Lines(io.StringIO):
    """A stderr that is no terminal."""

    def wait(self, word):
        for _ in range(1000):
            if word in self.getvalue():
                return self.getvalue()
            threading.Event().wait(0.01)
        raise AssertionError(f"{word} never came: {self.getvalue()}")


def test_a_line_says_how_much_and_how_long():
    assert line("score", "scans", State(3, 12, "9 slices/s"), 60) == (
        "score: 3/12 scans, 9 slices/s, 1:00 so far, about 3:00 left"
    )
    assert line("export", "", State(), 61) == "export: 1:01 so far"
    assert line("score", "scans", State(10, 12, before=8), 60).endswith("about 1:00 left")


def test_clock():
    assert [clock(s) for s in (0.4, 59.6, 3600, 86399)] == ["0:00", "1:00", "1:00:00", "23:59:59"]


def test_lines_come_though_nothing_is_told(monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    monkeypatch.setattr(sys, "stderr", Lines())
    with progress.shown("export"):
        sys.stderr.wait("export: 0:00 so far")


def test_the_innermost_speaks_and_is_told(monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    monkeypatch.setattr(sys, "stderr", Lines())
    with progress.shown("calibrate"):
        with progress.shown("read", unit="scans"):
            progress.tell(1, 3)
            before = sys.stderr.wait("read: 1/3 scans").count("calibrate")
            threading.Event().wait(0.1)
            assert sys.stderr.getvalue().count("calibrate") == before
        sys.stderr.wait("calibrate")
    said = sys.stderr.getvalue()
    threading.Event().wait(0.1)
    assert sys.stderr.getvalue() == said


def test_quiet_is_quiet_and_telling_nobody_is_no_fault(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown("score", quiet=True) as update:
        update(1, 2)
        progress.tell(1, 2)
    assert sys.stderr.getvalue() == ""


def test_a_bar_inside_another(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown("train"), progress.shown("mae", unit="steps", keep=True) as update:
        update(3, 7, "loss 0.5")
    assert "mae 3/7 steps" in sys.stderr.getvalue() and "loss 0.5" in sys.stderr.getvalue()


def test_who_prints_to_nobody_goes_on():
    loop = "for i in range(50000): say('line')"
    code = f"import sys\nfrom maescan.progress import say\n{loop}\nsys.stderr.write('whole\\n')"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert running.stdout.readline() == "line\n"
    running.stdout.close()
    assert running.stderr.read() == "whole\n" and running.wait() == 0
    running.stderr.close()


def test_who_prints_to_a_terminal_that_was_closed_goes_on():
    code = "import sys\nfrom maescan.progress import say\nsys.stdin.read()\nsay('line')\nsys.stderr.write('whole\\n')"
    ours, terminal = os.openpty()
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([sys.executable, "-c", code], stdout=terminal, **pipes)
    os.close(ours)
    os.close(terminal)
    assert running.communicate()[1] == "whole\n" and running.returncode == 0


def test_a_part_is_heard_only_where_the_whole_is(monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    monkeypatch.setattr(sys, "stderr", Lines())
    with progress.part("pairs", "slices") as update:
        update(1, 2)
        threading.Event().wait(0.05)
    assert sys.stderr.getvalue() == ""
    with progress.shown("train"), progress.part("pairs", "slices") as update:
        update(1, 2)
        sys.stderr.wait("pairs: 1/2 slices")
