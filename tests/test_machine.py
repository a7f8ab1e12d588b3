"""What a machine may use: cores and memory of control groups, features of a CPU, GPUs of a driver."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading

import pytest

from helpers.gpu_machine import driver
from maescan import machine
from maescan.errors import EngineError

CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def groups(tmp_path):
    """Control groups: cores or memory with these files, and this process in the group that the lines name."""
    number = iter(range(99))

    def of(function, lines, files):
        root = tmp_path / str(next(number))
        root.mkdir()
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (root / "self").write_text(lines)
        return function(root, root / "self")

    return of


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        ("0::/a/b\n", {}, CORES),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, CORES),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "800000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("4:cpu,cpuacct:/c\n", {"cpu,cpuacct/c/cpu.cfs_quota_us": "90000", "cpu,cpuacct/c/cpu.cfs_period_us": "1"
                               "00000"}, 1),
        ("4:cpu:/c\n", {"cpu/c/cpu.cfs_quota_us": "-1", "cpu/c/cpu.cfs_period_us": "100000"}, CORES),
        ("4:memory:/c\n", {"memory/c/cpu.cfs_quota_us": "1", "memory/c/cpu.cfs_period_us": "100000"}, CORES),
        ("0::/elsewhere\n", {"a/cpu.max": "100000 100000\n"}, CORES),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, CORES),
        ("nonsense\n", {"cpu.max": "100000 100000\n"}, CORES),
    ],
)  # fmt: skip
def test_cores_are_those_of_the_tightest_group(groups, lines, files, cores):
    assert groups(machine.available_cores, lines, files) == cores


def test_a_quota_of_one_and_a_half_cores_is_two_of_four(groups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    assert groups(machine.available_cores, "0::/a\n", {"a/cpu.max": "150000 100000"}) == 2
    assert groups(machine.available_cores, "0::/a\n", {"a/cpu.max": "900000 100000"}) == 4


def test_memory_is_that_of_the_tightest_group(groups):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (
        groups(machine.memory, "0::/a\n", {}) == groups(machine.memory, "0::/a\n", {"a/memory.max": "max"}) == total
    )
    assert groups(machine.memory, "0::/a/b\n", {"a/memory.max": "2000", "a/b/memory.max": "3000"}) == 2000
    assert groups(machine.memory, "3:memory:/a\n", {"memory/a/memory.limit_in_bytes": "4000"}) == 4000


def test_a_cpu_is_known_by_its_model_and_its_arithmetic(monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {"model name": "Some CPU", "flags": "amx_int8 fpu avx2"})
    assert machine.cpu_name() == "Some CPU avx2 amx_int8"
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {"flags": "avx2"})
    assert machine.cpu_name().endswith("avx2") and len(machine.cpu_name()) > len("avx2")


def test_cpu_features_are_those_that_the_system_names(monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {"flags": "fpu avx2 avx512f_like amx_int8 avx512_vnni"})
    assert machine.cpu_features() == ("avx2", "avx512_vnni", "amx_int8")
    monkeypatch.setattr(machine, "_cpuinfo", dict)
    assert machine.cpu_features() == ()


def test_gpus_are_the_drivers(monkeypatch):
    monkeypatch.setattr(machine, "_driver", lambda: driver(2, (9, 0), "NVIDIA H100", 12040))
    assert machine.driver_version() == 12040
    assert [str(gpu) for gpu in machine.found_gpus()] == ["NVIDIA H100 (compute capability 9.0)"] * 2
    assert machine.found_gpus()[1].number == 1 and machine.found_gpus()[1].memory == 24 << 30
    assert machine.gpus() == ["NVIDIA H100"] * 2
    assert machine.require_gpu("cuda").number == 0 and machine.require_gpu("cuda:1").number == 1


@pytest.mark.parametrize(
    ("there", "device", "visible", "reason"),
    [
        (None, "cuda", None, r"--device cuda: no NVIDIA driver .*--device cpu"),
        (driver(0), "cuda:0", None, r"--device cuda:0: the driver finds no GPU \(.*nvidia-smi"),
        (driver(0), "cuda:0", "", r"the driver finds no GPU, with CUDA_VISIBLE_DEVICES='' \("),
        (driver(0, init=803), "cuda", "GPU-1", r"finds no GPU: CUDA_ERROR_803, with CUDA_VISIBLE_DEVICES='GPU-1' \("),
        (driver(2), "cuda:2", None, r"--device cuda:2: this machine has 2 GPUs \(.*cuda:0"),
        (driver(1), "cuda:2", "7", r"--device cuda:2: this machine has 1 GPU, with CUDA_VISIBLE_DEVICES='7' \("),
    ],
)
def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy(monkeypatch, there, device, visible, reason):
    """The variable hides GPUs that nvidia-smi shows."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(machine, "_driver", lambda: there)
    with pytest.raises(EngineError, match=reason):
        machine.require_gpu(device)


def test_a_driver_is_named_by_its_release_where_the_system_tells(monkeypatch, tmp_path):
    """Golden slices run again after an update, which may leave CUDA's version as it is."""
    monkeypatch.setattr(machine, "_driver", lambda: driver(1, version=13010))
    (tmp_path / "version").write_text("580.95.05\n")
    assert machine.driver_name(tmp_path / "version") == "driver 580.95.05"
    assert machine.driver_name(tmp_path / "none") == "a driver of CUDA 13.1"


def test_a_driver_that_does_not_start_finds_nothing(monkeypatch):
    broken = driver(1)
    broken.cuInit = lambda _: 100
    broken.cuDriverGetVersion = lambda pointer: 1
    monkeypatch.setattr(machine, "_driver", lambda: broken)
    assert machine.found_gpus() == [] and machine.driver_version() is None


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["", "not-a-folder"])
def test_training_leaves_nothing_in_the_temporary_folder(tmp_path, cache):
    """torch's compiler makes one there as soon as it is imported. Where there is no cache, torch has its way."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").write_text("")
    places = {"TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / (cache and "file"))}
    run = [sys.executable, "-c", "import maescan.train.run, torch._dynamo"]
    subprocess.run(run, env={**os.environ, **places}, check=True)
    assert cache or not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("before", [None, "", "1"])
def test_what_users_run_has_their_environment_while_ours_is_started(monkeypatch, before):
    name = "PYTHONSAFEPATH"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    with machine.safe_path():
        assert os.environ[name] == "1"
        told = queue.Queue()
        thread = threading.Thread(target=lambda: told.put(machine.users_environment().get(name)))
        thread.start()
        assert told.empty()  # it waits
    thread.join()
    assert told.get() == os.environ.get(name) == before
