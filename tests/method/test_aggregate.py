from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from maescan.errors import ConfigError, DataError
from maescan.method import aggregate
from maescan.method.aggregate import least_rate, likely_rate


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"method": "max"}, 0.9),
        ({"method": "top", "k": 2}, 0.7),
        (None, 0.5),
        ({"method": "area", "threshold": 0.3}, 0.5),
    ],
)
def test_a_scan_score_by_each_rule(rule, expected):
    assert aggregate.scan_score(np.array([0.1, 0.9, 0.5, 0.1]), rule) == pytest.approx(expected)


def test_another_rule_is_refused():
    with pytest.raises(ConfigError, match="unknown aggregation 'median'"):
        aggregate.scan_score(np.array([0.1]), {"method": "median"})


def test_ties_count_against_an_alert():
    assert aggregate.p_values(np.array([0.5, 0.50001]), np.array([0.5] * 9)).tolist() == [1.0, 0.1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_no_place_in_the_order_is_refused(value):
    with pytest.raises(DataError, match="not finite"):
        aggregate.p_values(np.array([value]), np.array([0.5]))
    with pytest.raises(DataError, match="not finite"):
        aggregate.p_values(np.array([0.5]), np.array([value]))


def test_a_place_counts_from_the_lowest_slice_with_foreground_to_the_highest():
    assert np.allclose(aggregate.positions([0, 3, 0, 1, 2, 0]), [-1 / 3, 0, 1 / 3, 2 / 3, 1, 4 / 3])
    assert aggregate.positions([0, 3, 0]).tolist() == [0.5] * 3 and aggregate.positions([0, 0]).tolist() == [0.5] * 2
    assert aggregate.positions([3, 1]).tolist() == [0, 1]


@pytest.mark.parametrize(("count", "rate"), [(19, 0.05), (20, 0.05), (40, 0.1), (99, 0.05), (5000, 0.05)])
def test_one_of_twenty_references_alerts_more_often_than_is_told(count, rate):
    """Of uniform scores the share over the r-th highest of n is Beta(r, n + 1 - r)."""
    ranks = math.floor(rate * (count + 1) + 1e-9)
    assert likely_rate(count, rate) == pytest.approx(stats.beta.ppf(0.95, ranks, count + 1 - ranks))
    limit = 1 - np.sort(np.random.default_rng(0).random((2000, count)), axis=1)[:, -ranks]
    assert (limit > likely_rate(count, rate)).mean() == pytest.approx(0.05, abs=0.015)


def test_a_rate_at_which_none_or_all_alert():
    assert (likely_rate(18, 0.05), likely_rate(19, 1.0), likely_rate(19, 0.0)) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("count", [9, 19, 23, 24, 40, 99, 1234])
def test_a_scan_can_alert_at_the_least_rate_that_is_told(count):
    """Of 40 scans 0.024 was told, 1 / 41 rounded, at which none can."""
    rate = least_rate(count)
    assert 1 / (count + 1) <= rate < 1 / (count + 1) + 0.001
