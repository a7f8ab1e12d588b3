"""Fixtures of every test: `device` runs a test on the CPU and, where there is one, on a GPU."""

from __future__ import annotations

import os

import pytest


def _cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") and os.environ.get("FAIL_WITHOUT_CUDA") != "1" and not _cuda():
        pytest.skip("needs a GPU")
