"""Ctrl-C at any moment, and a reader that leaves early: no traceback, and what to do next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.scoring_stub import write_scan
from maescan.cli.demo import unpack

DONE = (0, 5, -signal.SIGINT)
"""5: these scans are not like the calibration's, as is true; -SIGINT: all was done, and Python itself was ending."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping")
    for number in range(12):
        write_scan(folder / "scans" / f"{number}.nii.gz", number)
    return folder, [sys.executable, "-m", "maescan", "score", folder / "scans", "--bundle", unpack(folder / "bundle")]


def started(command, out, *more):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, command), "-o", str(out), *more], start_new_session=True, **pipes)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.6, 0.8, 0.95])
def test_ctrl_c_at_any_moment_says_how_to_go_on(tree, tmp_path, share, whole_run):
    _, command = tree
    running = started(command, tmp_path / "out")
    bare, whole = whole_run
    time.sleep(max(2 * bare, share * whole))  # before that Python itself is starting
    os.killpg(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert "Traceback" not in error, error
    if running.returncode not in DONE:
        assert running.returncode == 130
        assert error.endswith("maescan: stopped; run the same command again to go on\n"), error


@pytest.fixture(scope="module")
def whole_run(tree, tmp_path_factory):
    """Seconds that Python takes to start, and that a whole run takes."""
    times = [time.monotonic()]
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    times.append(time.monotonic())
    running = started(tree[1], tmp_path_factory.mktemp("whole") / "out")
    _, error = running.communicate(timeout=120)
    assert running.returncode in DONE, error
    return times[1] - times[0], time.monotonic() - times[1]


def test_a_reader_that_leaves_early_does_not_cost_the_tables(tree, tmp_path):
    _, command = tree
    running = started(command, tmp_path / "out", "--json")
    assert json.loads(running.stdout.readline())["event"]
    running.stdout.close()
    error = running.stderr.read()
    assert running.wait(timeout=120) in DONE, error
    running.stderr.close()
    assert (tmp_path / "out" / "scans.csv").read_text().count("\n") == 13


@pytest.mark.parametrize(
    "then", ["raise ImportError('initialization failed')", "raise EngineError('ended')", "return 1"]
)
def test_ctrl_c_that_an_extension_makes_another_error_of_is_still_a_stop(then):
    """As pybind11's modules do while they are imported."""
    code = f"""
import os, signal, sys
from maescan import cli
from maescan.errors import EngineError
def command(typed):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while True: pass
    except KeyboardInterrupt:
        {then}
cli._command, sys.argv = command, ["maescan", "score"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "maescan: stopped; run the same command again to go on\n")
