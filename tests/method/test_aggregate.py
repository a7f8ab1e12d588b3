from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import ConfigError, DataError
from maescan.method import aggregate


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
