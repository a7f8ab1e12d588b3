"""Folds: no patient in two, everyone tested once, lesions dealt evenly."""

import numpy as np
import pytest

from helpers.tiny_ablation import half_ill
from maescan.datasets import SliceSet
from maescan.errors import ConfigError, DataError
from maescan.train.ablations.folds import make_folds


def test_leave_one_patient_out_tests_everyone_once():
    data = half_ill()
    folds = make_folds(data)
    assert sorted(str(fold.test.patient[0]) for fold in folds) == ["p0", "p1", "p2", "p3"]
    for fold in folds:
        assert not set(fold.test.patient) & set(fold.train.patient)
        assert len(fold.test.label) + len(fold.train.label) == len(data.label)


def test_many_patients_are_held_out_once_with_lesions_dealt_evenly():
    data = half_ill(20, 2)
    data.label[data.patient < "p15"] = 0  # lesions from p15 on, and p2 to p9
    (fold,) = make_folds(data)
    test = set(fold.test.patient)
    ill = {str(name) for name in data.patient[data.label == 1]}
    assert len(test) == 8 and abs(len(test & ill) - 0.4 * len(ill)) < 1


def test_the_sets_own_test_part_is_the_only_fold():
    data = half_ill()
    part = np.where(data.patient == "p2", "test", "train")
    (fold,) = make_folds(SliceSet(**{**vars(data), "split": part}), folds=3)
    assert set(fold.test.patient) == {"p2"} and set(fold.train.patient) == {"p0", "p1", "p3"}


def test_no_fold_is_healthy_alone_and_what_cannot_be_is_refused_before_anything_is_trained():
    data = half_ill()
    data.label[data.patient < "p2"] = 0
    folds = make_folds(data)
    assert len(folds) == 2 and all(set(fold.test.label) == {0, 1} for fold in folds)
    assert {str(name) for fold in folds for name in fold.test.patient} == {"p0", "p1", "p2", "p3"}
    with pytest.raises(DataError, match=r"2 of 4 patients have lesions.*use --folds 2"):
        make_folds(data, folds=3)
    data.label[data.patient < "p3"] = 0
    with pytest.raises(DataError, match="1 of 4 patients has lesions"):
        make_folds(data)
    data.label[:] = 0
    with pytest.raises(DataError, match="0 of 4 patients have lesions"):
        make_folds(data)


def test_one_patient_is_refused():
    with pytest.raises(DataError, match="one patient only"):
        make_folds(half_ill(1))
    with pytest.raises(ConfigError, match="1 folds leave nobody"):
        make_folds(half_ill(), folds=1)
