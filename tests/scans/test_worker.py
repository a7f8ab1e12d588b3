from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maescan.errors import ConfigError, ScanError
from maescan.scans.budget import Limits, check_memory, touching
from maescan.scans.worker import Worker, WorkerLostError

PATH = Path("scan.nii")


class Work:
    """What the worker of these tests does."""

    def __init__(self, mode="works"):
        if mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "broken":
            os._exit(1)

    def double(self, array):
        return {"doubled": 2 * array, "empty": array[:0]}

    def die(self, number):
        os.kill(os.getpid(), number)

    def sleep(self, seconds, *paths):
        for path in paths:
            with touching(Path(path)):
                time.sleep(seconds)
        if not paths:
            time.sleep(seconds)
        return "slept"

    def take(self, count):
        return len(np.ones(count, np.uint8))

    def fail(self):
        raise RuntimeError("two\nlines")

    def check(self, need):
        check_memory(need, "voxels", PATH)


@pytest.fixture
def worker():
    made = Worker(Work, limits=Limits(seconds=1.0, memory=2**28))
    yield made
    made.close()


def test_arrays_come_back_whole(worker):
    answer = worker.call("double", np.arange(1000.0).reshape(10, 100), path=PATH)
    assert np.array_equal(answer["doubled"], 2 * np.arange(1000.0).reshape(10, 100)) and answer["empty"].shape == (
        0,
        100,
    )


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_the_scans_failure_and_the_next_one_is_read(worker, number):
    with pytest.raises(WorkerLostError, match=rf"scan\.nii: the reader crashed \({number.name}\)"):
        worker.call("die", number, path=PATH)
    assert worker.call("sleep", 0, path=PATH) == "slept"


def test_a_terminal_that_is_closed_is_no_crash(worker):
    """The system tells all that run in it: the watch decides, which finishes what is being read."""
    assert worker.call("die", signal.SIGHUP, path=PATH) is None


@pytest.mark.slow
def test_a_read_that_never_returns_is_ended(worker):
    with pytest.raises(WorkerLostError, match=r"scan\.nii: reading took over 1 s"):
        worker.call("sleep", 600, path=PATH)
    assert worker.call("sleep", 0, path=PATH) == "slept"


@pytest.mark.slow
def test_time_counts_for_each_file_and_the_one_that_hangs_is_named(worker):
    assert worker.call("sleep", 0.4, "a", "b", "c", "d", path=PATH) == "slept"
    with pytest.raises(WorkerLostError, match=r"^a: reading took over"):
        worker.call("sleep", 600, "a", "b", path=PATH)


@pytest.mark.slow
def test_told_to_stop_a_read_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("maescan.scans.worker.GRACE_S", 0.2)
    worker, stop = Worker(Work, limits=Limits(seconds=600)), threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(WorkerLostError, match="stopped"):
        worker.call("sleep", 600, path=PATH, stop=stop)
    worker.close()


def test_memory_over_the_limit_is_not_given(worker):
    assert worker.call("take", 2**20, path=PATH) == 2**20
    with pytest.raises(ScanError, match=r"scan\.nii: does not fit in the 0\.3 GB.*--limit-memory"):
        worker.call("take", 2**36, path=PATH)
    with pytest.raises(ScanError, match=r"voxels take 1\.1 GB of memory, more than the 0\.3 GB.*--limit-memory 2"):
        worker.call("check", 2**30, path=PATH)
    assert worker.call("take", 2**20, path=PATH) == 2**20


def test_any_exception_is_one_line(worker):
    with pytest.raises(ScanError, match=r"^scan\.nii: reading failed: RuntimeError: two lines \(check the file"):
        worker.call("fail", path=PATH)


@pytest.mark.slow
def test_a_worker_killed_as_it_starts_is_the_scans_failure(tmp_path):
    worker = Worker(Work, "killed", limits=Limits())
    with pytest.raises(WorkerLostError, match=r"the reader could not start \(SIGKILL\)"):
        worker.call("sleep", 0, path=PATH)
    with pytest.raises(ConfigError, match=r"ended as it started \(exit 1\).*`maescan doctor`"):
        Worker(Work, "broken", limits=Limits()).call("sleep", 0, path=PATH)


@pytest.mark.slow
def test_what_forks_workers_may_be_started_before_the_first_is_needed():
    code = (
        "import signal\nfrom multiprocessing import forkserver\nfrom maescan.scans import worker\n"
        "if __name__ == '__main__':\n    worker.get_ready(); first = forkserver._forkserver._forkserver_pid\n"
        "    worker.get_ready(); print(first == forkserver._forkserver._forkserver_pid, first is not None)\n"
        "    held = open(f'/proc/{first}/status').read().split('SigBlk:')[1].split()[0]\n"
        "    print(bool(int(held, 16) >> (signal.SIGINT - 1) & 1), signal.SIGINT in signal.pthread_sigmask(0, []))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "True", "False"], done.stderr


def test_no_module_of_the_folder_at_hand_is_run(tmp_path):
    """What forks readers, and what tracks their resources, import more modules than this process has."""
    for name in ("struct", "socket", "selectors", "threading", "nibabel"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path)!r} + '/ran', 'w')\nraise ImportError('not mine')\n"
        )
    code = """
from pathlib import Path
from maescan.scans.budget import Limits
from maescan.scans.worker import Worker
worker = Worker(list, (1, 2), limits=Limits())
assert worker.call("__len__", path=Path("x")) == 2
worker.close()
import os
assert "PYTHONSAFEPATH" not in os.environ
"""
    (tmp_path / "sub").mkdir()
    script = tmp_path / "sub" / "script.py"  # -P would be theirs too
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_in_a_process_that_may_have_no_children_it_says_so(worker, monkeypatch):
    monkeypatch.setattr(multiprocessing, "current_process", lambda: SimpleNamespace(daemon=True))
    with pytest.raises(ConfigError, match=r"multiprocessing.Pool may start no readers \(use concurrent.futures"):
        worker.call("sleep", 0, path=PATH)
