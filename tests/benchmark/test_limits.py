"""The hardware's limits."""

from __future__ import annotations

import pytest

from maescan.benchmark import limits
from maescan.config import PRESETS


def test_limits_bound_a_slice_by_the_slower_of_products_and_copies():
    small = {"gemm": {"fp32": 1e12}, "copy": 1e15}
    found = limits.limit(PRESETS["brats"], "fp32", 8, small)
    assert found["slices_per_second"] == pytest.approx(1e12 / found["operations"])
    slow = limits.limit(PRESETS["brats"], "fp32", 8, {**small, "copy": 1e6})
    assert slow["slices_per_second"] == pytest.approx(1e6 / slow["bytes"])
    assert limits.limit(PRESETS["brats"], "fp16", 8, small) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_matrix_peak_is_the_products_over_the_fastest_round(precision, monkeypatch):
    monkeypatch.setattr(limits, "_seconds", lambda call, rounds: [(call(), 0.0)[1], 4.0, 2.0, 8.0][:rounds])
    assert limits.gemm_peak(precision, 1, size=128, rounds=3) == limits.PRODUCTS * 128**3
