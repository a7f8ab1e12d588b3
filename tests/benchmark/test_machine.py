"""What a report says of the machine."""

from __future__ import annotations

import os
import resource
import time
from importlib import metadata

import pytest

from helpers.gpu_machine import driver
from maescan import machine as system
from maescan.benchmark import machine
from maescan.machine import available_cores


def test_a_machine_names_its_commit_and_versions():
    found = machine.describe()
    assert found["machine"]["cores"] == available_cores() and found["versions"]["openvino"] == metadata.version(
        "openvino"
    )


def test_tensorrt_rtx_is_found_by_its_distribution_s_name():
    trt = pytest.importorskip("tensorrt_rtx")
    assert machine.describe()["versions"]["tensorrt_rtx_cu13"] == trt.__version__


def test_peak_memory_is_what_the_system_accounts_for(monkeypatch, tmp_path):
    known = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.peak_memory() == pytest.approx(known, rel=0.05)
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "none")
    assert machine.peak_memory() is None


def test_power_is_that_of_the_gpu_which_cuda_counts(monkeypatch, tmp_path):
    """nvidia-smi counts in another order, and those too that CUDA_VISIBLE_DEVICES hides."""
    monkeypatch.setattr(system, "_driver", lambda: driver(2))
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\n[ "$2" = GPU-00000000-0000-0000-0000-000000000008 ] && echo 70.5 || echo 12.0\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with machine.Watts("cuda:1") as power:
        while not power._samples:
            time.sleep(0.01)
    assert power.watts == 70.5
    monkeypatch.setattr(system, "_driver", lambda: driver(2, init=100))
    with machine.Watts("cuda:1") as power:
        time.sleep(0.3)
    assert power.watts is None
