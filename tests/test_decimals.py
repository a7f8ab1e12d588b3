from __future__ import annotations

import numpy as np
import pytest

from maescan.decimals import decimal, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000000"),
        (1.0, "1.000000"),
        (1 / 3, "0.333333"),
        (-0.25, "-0.250000"),
        (0.00123456, "0.001235"),
        (0.000123456, "0.0001235"),
        (1.5e-9, "0.000000001500"),
        (0.99999970, "0.9999997000"),
        (12345.5, "12345.500000"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_a_value_keeps_the_digits_that_tell_it_from_others(value, text):
    assert decimal(value) == text


def test_all_scores_close_to_one_keep_their_order():
    ends = [np.float32(1)]
    for _ in range(200):
        ends.append(np.nextafter(ends[-1], np.float32(0)))
    texts = [decimal(float(value)) for value in ends]
    assert len(set(texts)) == len(texts)
    assert sorted(texts, key=float, reverse=True) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.05, "0.0500"),
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (0.43215, "0.4321"),
        (1 / 31001, "0.000032"),
        (0.999961, "0.999961"),
    ],
)
def test_for_people_no_value_is_0_or_1_that_is_not(value, text):
    assert short(value) == text
