"""Thousands of damaged scans: each is read or refused in one line. MAESCAN_FUZZ=20000 tries as many a format."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.fuzz_scans import Reader, fuzz
from helpers.fuzz_seeds import KINDS, seeds

pytest.importorskip("pydicom")
pytest.importorskip("SimpleITK")
LONG = int(os.environ.get("MAESCAN_FUZZ", "0"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(0 if LONG else 300)
def test_damaged_files_are_read_or_refused(kind):
    valid, reader, outcomes = seeds(kind), Reader(), Counter()

    @settings(
        max_examples=LONG or 300,
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(valid) - 1), st.integers(0, 2**64))
    def damage(index, number):
        outcomes[reader.outcome(valid[index].damaged(number))] += 1

    try:
        damage()
    finally:
        reader.close()
    assert outcomes["read"] > 0 and len(outcomes) > 10
    if LONG:
        print(
            f"\n{kind}: {outcomes.total()} tried",
            *(f"{n:7} {text}" for text, n in outcomes.most_common(60)),
            sep="\n",
        )


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged_files_are_read(kind):
    reader = Reader()
    found = {reader.outcome(seed.files) for seed in seeds(kind)}
    reader.close()
    assert found <= {"read", "holds 2 volumes"}


def test_fuzz_for_a_while_counts_what_it_tried():
    outcomes = fuzz(1.0, seed=7)
    assert outcomes.total() >= len(KINDS) and set(outcomes) <= {"read", "refused", "passed over"}
