from __future__ import annotations

import numpy as np
import pytest

from maescan.scoring.conformal import Reference, needed


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_at_most_the_rate_of_healthy_scans_alert(rate):
    """Over 200 trials of 40 reference scans and 200 new ones of the same kind: within binomial error."""
    rng, alerts = np.random.default_rng(0), 0
    for _ in range(200):
        reference = Reference(tuple(sorted(rng.gamma(2, size=40))), (), rate)
        alerts += sum(reference.scan(score)[1] == "yes" for score in rng.gamma(2, size=200))
    assert 0.7 * rate < alerts / 40_000 < rate + 3 * (rate * (1 - rate) / 200 / 40) ** 0.5


def test_few_scans_cannot_alert_at_a_small_rate():
    few, enough = (Reference(tuple(range(n)), (), 0.05) for n in (18, 19))
    assert not few.can_alert and few.scan(1e9) == (round(1 / 19, 6), "no")
    assert enough.can_alert and enough.scan(1e9) == (0.05, "yes") and needed(0.05) == 19 and needed(0.1) == 9
