from __future__ import annotations

import numpy as np
import pytest

from maescan.scoring.martingale import ALARM, drift


def stream(rng, count, shift=0.0):
    return [(str(rng.integers(1 << 60)), float(value)) for value in rng.normal(shift, 1, count)]


def test_no_alarm_while_scans_are_exchangeable():
    """One stream in a hundred may alarm: of 100 streams of 500 scans, more than 4 would be very odd."""
    rng = np.random.default_rng(0)
    assert sum(drift(rng.normal(size=48).tolist(), stream(rng, 500)).changed for _ in range(100)) <= 4


@pytest.mark.parametrize("shift", [1.5, -1.5])
def test_alarm_soon_after_a_change_to_either_side(shift):
    rng = np.random.default_rng(1)
    for _ in range(10):
        found = drift(rng.normal(size=48).tolist(), stream(rng, 40) + stream(rng, 60, shift))
        assert found.changed and 40 <= found.alarm_at < 100 and found.highest >= ALARM


def test_an_alarm_stays():
    rng = np.random.default_rng(2)
    scans = stream(rng, 60, 2.0)
    alarm = drift(rng.normal(size=48).tolist(), scans).alarm_at
    assert drift(np.random.default_rng(2).normal(size=48).tolist(), scans + stream(rng, 300)).changed
    assert alarm is not None


def test_ties_are_broken_by_the_scan_alone_and_bring_no_alarm():
    equal = [(str(i), 0.5) for i in range(300)]
    assert drift([0.5] * 19, equal) == drift([0.5] * 19, equal)
    assert not drift([0.5] * 19, equal).changed


def test_long_changes_overflow_nothing():
    found = drift([0.0] * 30, [(str(i), 1.0 + i) for i in range(3000)])
    assert found.changed and np.isfinite(found.capital)
