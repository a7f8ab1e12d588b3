"""How a kernel is called: outputs of the caller's, the stream, the GIL, and how many threads run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from helpers.kernel_cases import masks, predictions, same, slices
from maescan import kernels
from maescan.engines.bundle import Bundle
from maescan.errors import BundleError, ConfigError
from maescan.kernels.arrays import empty, on_stream
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


def _blank(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.full(shape, 77, dtype)


def test_every_kernel_writes_into_what_it_is_given(monkeypatch):
    """As a caller needs who keeps the buffers, to capture calls in a graph: nothing is allocated."""
    taps, values = kernels.resample_taps(8, 6), {"scale": 1, "offset": 0, "background": None, "low": -9, "high": 9}
    options = {"seed": 1, "passes": 2, "tokens": 4, "keep": 2}
    boxes, factors = np.ones((2, 1, 4), np.int32), np.full((2, 1), 2, np.float32)
    flags = {"reconstruction": True, "squared": True, "tokens": True, "errors": True}
    plain = [
        *kernels.make_masks(np.arange(2), **options),
        kernels.patchify_visible(X, KEEP, patch=4),
        *vars(kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, **flags)).values(),
        kernels.pseudo_abnormal(X, boxes, factors),
        kernels.ssim(X, X[::-1].copy()),
        kernels.extract_slices(X, taps, taps, **values),
    ]
    out = [np.full_like(each, 77) for each in plain]
    monkeypatch.setattr(kernels, "empty", None)
    kernels.make_masks(np.arange(2), **options, out=(out[0], out[1]))
    kernels.patchify_visible(X, KEEP, patch=4, out=out[2])
    given, sums = kernels.Differences(*out[3:9]), {"partials": _blank(2, 4, 2)}
    kernels.average_difference(X, PREDICTED, RESTORE, keep=2, patch=4, out=given, **sums)
    kernels.pseudo_abnormal(X, boxes, factors, out=out[9])
    kernels.ssim(X, X[::-1].copy(), out=out[10], partials=_blank(2, 2, dtype="float64"))
    kernels.extract_slices(X, taps, taps, **values, out=out[11])
    for found, wanted in zip(out, plain, strict=True):
        same(found, wanted)


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


class _Device:
    """An array of a library `fakelib`, on a GPU that is not there."""

    __module__ = "fakelib"

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def test_what_a_foreign_stream_works_on_is_its_own(monkeypatch):
    """Memory that belonged to the library's current stream would be handed out again while the kernel still runs."""
    now, made = [3], []

    class Stream:
        def __init__(self, ptr: int):
            self.ptr = ptr

        def __enter__(self) -> None:
            now.append(self.ptr)

        def __exit__(self, *error: object) -> None:
            now.pop()

    library = types.ModuleType("fakelib")
    library.cuda = types.SimpleNamespace(ExternalStream=Stream, get_current_stream=lambda: Stream(now[-1]))
    library.empty = lambda shape, dtype: made.append(now[-1])
    monkeypatch.setitem(sys.modules, "fakelib", library)
    for stream, wanted in [(7, 7), (None, 3)]:
        with on_stream(_Device(), stream) as where:
            empty(_Device(), (2,), "float32")
        assert (where, made.pop(), now) == (wanted, wanted, [3])


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


CROWDED = """
import resource
import numpy as np
from maescan import kernels
kernels.set_threads(1)
x, out = np.ones((8, 64, 64), np.float32), np.zeros((8, 16, 256), np.float32)
kernels.patchify(x, patch=16, out=out)  # alone: what is loaded late is loaded
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))  # no room for a thread's stack
kernels.set_threads(8)
kernels.patchify(x, patch=16, out=out)
print(int(out.sum()), len(__import__("os").listdir("/proc/self/task")))
"""


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/task") or "MAESCAN_TEST_KERNELS" in os.environ, reason="reads /proc; no sanitizer"
)
def test_a_helper_that_cannot_start_is_done_without():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", CROWDED], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["32768", "1"]


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


def test_a_thread_in_a_kernel_does_not_abort_the_process_that_ends():
    code = """
import threading, time
import numpy as np
from maescan import kernels
x = np.random.default_rng(0).random((64, 128, 128), np.float32)
def work():
    while True:
        kernels.ssim(x, x)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("count", [0, 2**31, 1.5])
def test_threads_are_a_number_of_them(count):
    with pytest.raises(ConfigError, match="cannot run on"):
        kernels.set_threads(count)


def test_a_view_whose_sign_is_turned_is_refused():
    torch = pytest.importorskip("torch")
    turned = torch.complex(torch.ones(1, 4, 4), torch.ones(1, 4, 4)).conj().imag
    with pytest.raises(ValueError, match=r"give its resolve_neg\(\)"):
        kernels.patchify(turned, patch=4)
    assert (kernels.patchify(turned.resolve_neg(), patch=4) == -1).all()
