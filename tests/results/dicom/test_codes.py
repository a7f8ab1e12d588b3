"""The codes of what is said."""

from __future__ import annotations

import pytest

from maescan.results.dicom.codes import QUANTITIES, map_quantity, map_values, own, region


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
    for units in (*QUANTITIES, "of intensities 0 to 1000", "standard deviations", "as the scan's values"):
        code = map_quantity(units)
        assert len(code.value) <= 16 and len(code.meaning) <= 64 and len(map_values(units)) <= 64
    assert own("a", "b").scheme_designator == "99MAESCAN"
