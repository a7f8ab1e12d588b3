"""The codes of what is said."""

from __future__ import annotations

import pytest

from maescan.results.dicom.codes import QUANTITIES, map_quantity, own, region


@pytest.mark.parametrize(
    "part, organ, expected",
    [
        ("BRAIN", "", "12738006"),
        ("chest", "brain", "816094009"),
        ("", "brain", "12738006"),
        ("", "", "38266002"),
        ("KNEE", "brain", "38266002"),
    ],
)
def test_a_part_of_the_body_has_its_code_and_one_that_nobody_knows_is_not_called_the_bundles(part, organ, expected):
    assert region(part, organ).value == expected


def test_own_codes_fit_their_elements():
    for quantity in QUANTITIES:
        code = map_quantity(quantity)
        assert len(code.value) <= 16 and len(code.meaning) <= 64
    assert own("a", "b").scheme_designator == "99MAESCAN"
