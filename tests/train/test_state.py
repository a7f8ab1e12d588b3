"""Checkpoints: a run that was killed goes on to the same weights."""

from __future__ import annotations

import signal
from pathlib import Path

from helpers.tiny_training import differences, log, run, subprocess_run

KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from helpers import tiny_training
from maescan.train.loop import Trainer

def step(self, loaded, epoch, number, old=Trainer._step):
    if (self.phase.name, epoch, number) == {where!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    old(self, loaded, epoch, number)

Trainer._step = step
tiny_training.run({out!r}, checkpoint_s=0.0)
"""


def test_killed_twice_and_resumed_gives_the_same_weights(unbroken, tmp_path):
    for where in (("mae", 1, 2), ("classifier", 1, 1)):
        code = KILLED.format(tests=str(Path(__file__).parents[1]), where=where, out=str(tmp_path))
        assert subprocess_run(code).returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoint.pt").exists()
    run(tmp_path)
    assert differences(unbroken, tmp_path) == {"mae": 0, "classifier": 0}
    assert log(tmp_path) == log(unbroken)
