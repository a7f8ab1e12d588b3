"""The area-matched AUROC and its simple variant, hand-worked."""

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.evaluate.metrics import area_matched_auroc, auroc, auroc_in_area_strata, position_in_brain


def test_position_runs_along_the_brain():
    position = position_in_brain(["a"] * 5 + ["b"], [0, 1, 2, 3, 4, 7], [0, 0.1, 0.2, 0.1, 0, 0.5])
    np.testing.assert_allclose(position, [-0.5, 0, 0.5, 1, 1.5, 0.5])


def test_matched_by_hand():
    label = [1, 1, 0, 0, 0, 0]
    position = [0.5, 0.1, 0.52, 0.55, 0.56, 0.9]
    area = [0.20, 0.1, 0.21, 0.18, 0.20, 0.1]
    score = [0.7, 0.9, 0.6, 0.7, 0.9, 0.1]
    found = area_matched_auroc(label, score, position, area)
    assert found.auroc == 0.75  # one lower, one tied; 0.56 is too far, the second abnormal slice has no partner
    assert (found.matched, found.abnormal, found.pairs) == (1, 2, 2)
    assert found.area_gap == pytest.approx(0.2 - 0.195)


def test_an_abnormal_slice_counts_once_however_many_partners():
    label = [1, 1, 0, 0, 0, 0]
    position = [0.2, 0.8, 0.2, 0.2, 0.2, 0.8]
    assert area_matched_auroc(label, [1, 0, 0, 0, 0, 1], position, [1.0] * 6).auroc == 0.5


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
    with pytest.raises(DataError, match="no abnormal slice has a normal slice of like position"):
        area_matched_auroc([0, 1], [0, 1], [0.5, 0.5], [0.1, 0.5])
    with pytest.raises(DataError, match="no stratum"):
        auroc_in_area_strata([0, 0, 1, 1], [1, 2, 3, 4], [1, 1, 2, 2], strata=2)
    with pytest.raises(DataError, match="one class only"):
        area_matched_auroc([1, 1], [0, 1], [0.5, 0.5], [0.1, 0.1])
