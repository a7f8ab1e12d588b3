"""Marks of single cases."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> list[Any]:
    """Cases of a test that `make test-fast` leaves out: the same test at a size that takes seconds."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
