"""How a kernel is called: outputs of the caller's, the stream, the GIL, and how many threads run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.kernel_cases import masks, predictions, same, slices
from maescan import kernels
from maescan.engines.bundle import Bundle
from maescan.errors import BundleError
from maescan.options import EngineOptions
from maescan.scoring.run import score_paths

X, (KEEP, RESTORE), PREDICTED = slices(2, 8, 8), masks(2, 1, 4, 2), predictions(2, 4, 4, "float32")


def test_outputs_of_the_callers():
    wanted = kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, errors=True)
    out = np.full((2, 1, 8, 8), np.nan, np.float32)
    found = kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, errors=True, out=out)
    assert found.difference is out
    same(out, wanted.difference)
    same(found.mse, wanted.mse)
    patches = np.full((2, 4, 16), np.nan, np.float32)
    assert kernels.patchify(X, patch=4, out=patches) is patches
    same(patches, kernels.patchify(X, patch=4))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((2, 8, 8), np.float32), r"difference must have shape \[2, 1, 8, 8\], not \[2, 8, 8\]"),
        (np.zeros((2, 1, 8, 8)), "difference must be float32, not float64"),
        (np.zeros((2, 1, 8, 16), np.float32)[..., ::2], "difference must be contiguous"),
    ],
)
def test_outputs_that_do_not_fit(out, message):
    with pytest.raises(ValueError, match=message):
        kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, out=out)


class _Recorder:
    """Stands in for the extension: keeps the stream of every call."""

    def __init__(self):
        self.streams = []

    def __getattr__(self, name):
        return lambda first, *, stream, **named: self.streams.append(stream)


def test_the_stream_is_the_callers(monkeypatch):
    monkeypatch.setattr(kernels, "_kernels", recorder := _Recorder())
    kernels.patchify(X, patch=4)
    kernels.patchify(X, patch=4, stream=7)
    kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, stream=7)
    kernels.make_masks(np.arange(2), seed=0, passes=1, tokens=4, keep=2, stream=7)
    kernels.ssim(X, X, stream=7)
    assert recorder.streams == [0, 7, 7, 7, 7]


@pytest.mark.needs_cuda
def test_the_default_stream_is_torchs(monkeypatch):
    import torch

    monkeypatch.setattr(kernels, "_kernels", recorder := _Recorder())
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        kernels.patchify(torch.from_numpy(X).cuda(), patch=4)
    assert recorder.streams == [side.cuda_stream]


def test_a_stream_changes_nothing_on_the_cpu():
    same(kernels.patchify(X, patch=4, stream=12345), kernels.patchify(X, patch=4))


def test_python_runs_on_beside_a_kernel():
    x, times = slices(64, 200, 200), []

    def call():
        times.append(time.perf_counter())
        kernels.ssim(x, x)
        times.append(time.perf_counter())

    thread, ticks = threading.Thread(target=call), []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(1e-4)
    thread.join()
    assert sum(times[0] < tick < times[1] for tick in ticks) > 2, "the GIL was held"


COUNT = """
import os, threading, time
import numpy as np
from maescan import kernels
x = np.ones((8, 64, 64), np.float32)
def tasks(calls=3):
    for _ in range(calls):
        kernels.ssim(x, x)
    return len(os.listdir("/proc/self/task"))
before = len(os.listdir("/proc/self/task"))
kernels.set_threads(1)
alone = tasks() - before
kernels.set_threads(3)
few = tasks() - before
callers = [threading.Thread(target=tasks, args=(20,)) for _ in range(4)]
[each.start() for each in callers], [each.join() for each in callers]
kernels.set_threads(2)
patience = time.monotonic() + 5  # a thread that was joined may not have left the kernel's list yet
while tasks() - before > 2 and time.monotonic() < patience:
    time.sleep(0.01)
print(alone, few, tasks() - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_no_more_threads_than_asked_for():
    """One thread: no pool beside the caller's (which an engine with threads of its own needs); three: two helpers,
    however many callers there are and whatever is asked for later."""
    run = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "2", "2"]


def test_scoring_runs_the_kernels_on_the_threads_asked_for(monkeypatch):
    def refuse(path):
        raise BundleError("no bundle")

    monkeypatch.setattr(Bundle, "load", refuse)
    try:
        with pytest.raises(BundleError):
            score_paths([], Path(), Path(), EngineOptions(threads=3))
        assert kernels.threads() == 3
    finally:
        kernels.set_threads(None)
