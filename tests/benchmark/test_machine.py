"""What a report says of the machine."""

from __future__ import annotations

import resource
from importlib import metadata

import pytest

from maescan.benchmark import machine
from maescan.machine import available_cores


def test_a_machine_names_its_commit_and_versions():
    found = machine.describe()
    assert found["machine"]["cores"] == available_cores() and found["versions"]["openvino"] == metadata.version(
        "openvino"
    )


def test_peak_memory_is_what_the_system_accounts_for(monkeypatch, tmp_path):
    known = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.peak_memory() == pytest.approx(known, rel=0.05)
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "none")
    assert machine.peak_memory() is None
