"""The area-matched AUROC and its simple variant, hand-worked."""

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.evaluate.matched import Matched, area_matched_auroc, auroc_in_area_strata, position_in_brain
from maescan.evaluate.ranking import auroc


def test_position_runs_along_the_brain():
    position = position_in_brain(["a"] * 5 + ["b"], [0, 1, 2, 3, 4, 7], [0, 0.1, 0.2, 0.1, 0, 0.5])
    np.testing.assert_allclose(position, [-0.5, 0, 0.5, 1, 1.5, 0.5])


def test_matched_by_hand():
    # partners of the first: two no smaller (scores 0.6 and 0.9), one no larger (0.7, tied); the next is too far from
    # the middle, the last too small. The second abnormal slice has partners on one side only.
    label = [1, 1, 0, 0, 0, 0, 0]
    position = [0.5, 0.9, 0.58, 0.42, 0.56, 0.61, 0.5]
    area = [0.20, 0.1, 0.21, 0.24, 0.18, 0.20, 0.15]
    score = [0.7, 0.9, 0.6, 0.9, 0.7, 0.1, 0.1]
    found = area_matched_auroc(label, score, position, area)
    assert found == Matched(auroc=(1 / 2 + 1 / 2) / 2, matched=1, abnormal=2, pairs=3)
    assert area_matched_auroc(label, [0.7, 0.9, 0.6, 0.6, 0.7, 0.1, 0.1], position, area).auroc == (1 + 1 / 2) / 2


def test_position_is_how_far_from_the_middle():
    assert area_matched_auroc([1, 0], [2, 1], [0.1, 0.9], [1, 1]).auroc == 1
    with pytest.raises(DataError):
        area_matched_auroc([1, 0], [2, 1], [0.1, 0.5], [1, 1])


def test_the_caliper_itself_is_inside():
    assert area_matched_auroc([1, 0, 0], [2, 1, 1], [0.5, 0.6, 0.4], [1, 1.2, 0.8]).pairs == 2


def test_an_abnormal_slice_counts_once_however_many_partners():
    label = [1, 1, 0, 0, 0, 0]
    position = [0.5, 0.8, 0.5, 0.5, 0.5, 0.8]
    assert area_matched_auroc(label, [1, 0, 0, 0, 0, 1], position, [1.0] * 6).auroc == 0.5


def test_few_patients_with_contiguous_lesions_give_area_nothing():
    """Normal slices next to an abnormal one lie on one side of it; a caliper alone would leave area 0.85."""
    position = np.tile(np.linspace(0, 1, 60), 3)
    area = 0.3 * np.sin(np.pi * position) + np.repeat([0.0, 0.01, -0.01], 60)
    label = ((position > 0.25) & (position < np.repeat([0.6, 0.7, 0.65], 60))).astype(int)
    assert auroc(label, area) > 0.8
    assert area_matched_auroc(label, area, position, area).auroc == pytest.approx(0.5, abs=0.02)


def test_matching_takes_from_area_what_it_gives_alone():
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 1, 4000)
    area = 0.4 * np.sin(np.pi * position) + 0.01 * rng.uniform(size=4000)
    label = (rng.uniform(size=4000) < area).astype(int)
    assert auroc(label, area) > 0.6
    assert area_matched_auroc(label, area, position, area).auroc == pytest.approx(0.5, abs=0.03)
    assert auroc_in_area_strata(label, area, area) == pytest.approx(0.5, abs=0.03)


def test_matching_keeps_what_the_lesion_gives():
    rng = np.random.default_rng(1)
    position = rng.uniform(0, 1, 2000)
    area = 0.4 * np.sin(np.pi * position)
    label = (rng.uniform(size=2000) < area).astype(int)
    score = rng.normal(size=2000) + 2 * label  # AUROC of two normals two apart: 0.921
    assert area_matched_auroc(label, score, position, area).auroc == pytest.approx(0.921, abs=0.03)
    assert auroc_in_area_strata(label, score, area) == pytest.approx(0.921, abs=0.03)


def test_strata_by_hand():
    area, label = [1, 1, 1, 2, 2, 2], [0, 0, 1, 1, 0, 0]
    assert auroc_in_area_strata(label, [1, 3, 2, 2, 1, 2], area, strata=2) == (0.5 * 2 + 0.75 * 2) / 4


def test_nothing_to_compare_is_said():
    with pytest.raises(DataError, match="no abnormal slice has normal slices of like position"):
        area_matched_auroc([0, 1], [0, 1], [0.5, 0.5], [0.1, 0.5])
    with pytest.raises(DataError, match="no stratum"):
        auroc_in_area_strata([0, 0, 1, 1], [1, 2, 3, 4], [1, 1, 2, 2], strata=2)
    with pytest.raises(DataError, match="one class only"):
        area_matched_auroc([1, 1], [0, 1], [0.5, 0.5], [0.1, 0.1])
