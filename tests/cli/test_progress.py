from __future__ import annotations

import io
import sys

from maescan.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_the_phase_its_steps_and_the_loss(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.training_bar(quiet=True) is None
    with progress.training_bar()("classifier", 4) as show:
        show(4, 0.25, 1e-3, 0.875)
    seen = sys.stderr.getvalue()
    assert "classifier" in seen and "4/4" in seen and "loss 0.2500 lr 1.0e-03 val 0.875" in seen


def test_a_terminal_sees_how_many_scans_are_done(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown("prepare") as show:
        show(3, 7)
    assert "prepare 3/7 scans" in sys.stderr.getvalue()
