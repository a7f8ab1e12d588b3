from __future__ import annotations

from pathlib import Path

import pytest

from maescan.errors import ScanError
from maescan.results.rows import Failure, state_of


@pytest.mark.parametrize(
    ("notes", "state"),
    [
        ([], "complete"),
        (["has no orientation"], "complete"),
        (["all voxels are equal", "incomplete: 3 of 6 images are there"], "incomplete"),
    ],
)
def test_a_scan_is_complete_unless_a_warning_says_otherwise(notes, state):
    assert state_of(notes) == state


def test_a_failure_names_the_file_and_is_one_line_for_a_terminal():
    error = ScanError("is \x1b[31mbroken", path=Path("a.nii"), remedy="mend it")
    failure = Failure.of("scan", "read", error)
    assert (failure.scan, failure.stage, failure.file, failure.remedy) == ("scan", "read", "a.nii", "mend it")
    assert failure.reason.isprintable()
