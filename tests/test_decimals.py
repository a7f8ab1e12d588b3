from __future__ import annotations

import numpy as np
import pytest

from maescan.decimals import decimal, rounded, short


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


def test_no_number_is_rounded_to_what_it_is_not():
    """An AUROC of 0.9996 is not 1, a gap of 0.0004 is one, and 1 with an error of float64 is 1."""
    written = {
        0.9996: "0.9996",
        0.999951: "0.99995",
        0.0004: "0.0004",
        -0.0003: "-0.0003",
        0.9994: "0.999",
        1.0: "1.000",
    }
    written |= {1 - 2**-52: "1.000", -0.0: "0.000", 2**-60: "0.000", -1.0: "-1.000", 1e-6: "0.000001"}
    assert {value: rounded(value) for value in written} == written
    assert (rounded(0.0002, "+"), rounded(-0.25, "+"), rounded(0.0, "+")) == ("+0.0002", "-0.250", "+0.000")
