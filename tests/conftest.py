"""Fixtures of every test: `device` runs a test on the CPU and, where there is one, on a GPU.

With MAESCAN_TEST_KERNELS (see test_kernels_shim.py) the named build of the extension is tested in place of the
installed one, and `device` has a third value: "shim", CUDA's launches on host memory.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

BUILD = os.environ.get("MAESCAN_TEST_KERNELS")
SCORING = ("scoring", "results", "system", "cli")
"""Tests of these folders must leave their inputs as they were; one that damages a scan itself says so: `given`."""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda), *(["shim"] if BUILD else [])]


def pytest_configure() -> None:
    if BUILD:
        from maescan import kernels

        spec = importlib.util.spec_from_file_location("tested._kernels", BUILD)
        assert spec and spec.loader
        kernels._kernels = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "shim":
        yield request.param
        return
    from maescan import kernels

    kernels._kernels.run_cuda_on_host(True)
    yield request.param
    kernels._kernels.run_cuda_on_host(False)


@pytest.fixture(autouse=True)
def inputs_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    """Scoring never changes what it was given: every scan that a test wrote is as it was, when the test ends."""
    from helpers import inputs

    if request.path.parent.name in SCORING:
        request.getfixturevalue("tmp_path")  # set up before, it is still there at the end
    yield
    harmed = inputs.harmed() if request.path.parent.name in SCORING else []
    if request.path.parent.name not in SCORING:
        inputs.forget()
    assert not harmed, f"inputs were changed or removed: {harmed}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") and os.environ.get("FAIL_WITHOUT_CUDA") != "1" and not _cuda():
        pytest.skip("needs a GPU")
