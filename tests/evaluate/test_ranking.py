"""Ranking metrics against scikit-learn and hand-worked values."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from maescan.errors import DataError
from maescan.evaluate.ranking import (
    auroc,
    average_precision,
    bootstrap,
    calibration_error,
    interval,
    roc,
    sensitivity_at,
)


def some(n=300, seed=0, levels=12):
    """Labels and heavily tied scores."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    return label, np.round((rng.normal(size=n) + label) * levels / 6) / levels


@pytest.mark.parametrize("levels", [3, 12, 10**9])
def test_auroc_and_average_precision_are_scikit_learns(levels):
    label, score = some(levels=levels)
    assert auroc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-14)
    assert average_precision(label, score) == pytest.approx(average_precision_score(label, score), abs=1e-14)


def test_roc_is_scikit_learns():
    label, score = some()
    curve = roc(label, score)
    false, true, thresholds = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_rate, false[1:])
    np.testing.assert_allclose(curve.sensitivity, true[1:])
    np.testing.assert_array_equal(curve.thresholds, thresholds[1:])


def test_auroc_by_hand():
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auroc([0, 1], [1, 1]) == 0.5  # all tied
    assert auroc([0, 1, 1], [3, 2, 1]) == 0.0


@pytest.mark.parametrize("metric", [auroc, average_precision, roc, calibration_error])
@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([1, 1], [0.1, 0.2], "one class only: there are abnormal slices alone"),
        ([0, 0], [0.1, 0.2], "one class only: there are normal slices alone"),
        ([], [], "one class only: there are no slices"),
        ([0, 1, 1], [0.1, np.nan, np.inf], "2 of 3 scores are NaN or infinite, the first is number 1"),
        ([0, 1, -1], [0.1, 0.2, 0.3], "labels must be 0"),
        ([0, 1], [0.1, 0.2, 0.3], "not lists of one length"),
    ],
)
def test_refusals_are_by_name(metric, labels, scores, reason):
    with pytest.raises(DataError, match=reason.replace("(", r"\(")):
        metric(labels, scores)


def test_sensitivity_at_specificity_by_hand():
    label = [0, 0, 0, 0, 1, 1, 1, 1]
    score = [0.1, 0.2, 0.3, 0.6, 0.05, 0.3, 0.5, 0.9]
    assert sensitivity_at(label, score, 1.0) == (0.25, 0.9)
    assert sensitivity_at(label, score, 0.75) == (0.5, 0.5)  # one false alarm allowed: 0.6
    assert sensitivity_at(label, score, 0.5) == (0.75, 0.3)  # the tie at 0.3 costs the second
    assert sensitivity_at(label, score, 0.76) == (0.25, 0.9)
    assert sensitivity_at([0] * 10 + [1], [*range(10), 8.5], 0.9) == (1.0, 8.5)  # (1 - 0.9) * 10 is under 1
    assert sensitivity_at([0, 1], [1, 1], 0.95) == (0.0, np.inf)


@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.95, 0.99])
def test_sensitivity_is_scikit_learns_curve(specificity):
    label, score = some(2000, 3, 10**6)
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    assert sensitivity_at(label, score, specificity)[0] == pytest.approx(true[false <= 1 - specificity].max())


def test_calibration_error_by_hand():
    # bin 0: two of mean 0.05, none abnormal; last bin: three of mean 0.95, two abnormal
    label, score = [0, 0, 1, 1, 0], [0.05, 0.05, 0.95, 0.95, 0.95]
    assert calibration_error(label, score) == pytest.approx((2 * 0.05 + 3 * abs(0.95 - 2 / 3)) / 5)
    assert calibration_error([0, 1], [0.0, 1.0]) == 0.0
    assert calibration_error([0, 1], [1.0, 0.05]) == pytest.approx((1 + 0.95) / 2)  # 1.0 is in the last bin
    with pytest.raises(DataError, match="no probabilities"):
        calibration_error([0, 1], [0.0, 1.1])


def test_bootstrap_repeats_slices_of_drawn_patients():
    label, score = some(60)
    patient = np.repeat([f"p{i}" for i in range(6)], 10)
    rng = np.random.default_rng(5)
    expected = []
    for _ in range(20):
        rows = np.concatenate([np.flatnonzero(patient == f"p{i}") for i in rng.integers(6, size=6)])
        expected.append(roc_auc_score(label[rows], score[rows]))
    np.testing.assert_allclose(bootstrap(label, score, patient, resamples=20, seed=5), expected, atol=1e-12)


def test_bootstrap_is_seeded():
    label, score = some(60)
    patient = np.arange(60) // 6
    first, again = (bootstrap(label, score, patient, resamples=50, seed=1) for _ in range(2))
    assert (first == again).all()
    assert (first != bootstrap(label, score, patient, resamples=50, seed=2)).any()


def test_interval_holds_the_auroc_and_is_wider_for_patients_than_for_slices():
    rng = np.random.default_rng(0)
    shift = np.repeat(rng.normal(size=12), 20)  # slices of a patient share their luck
    label = np.repeat([0, 1], 120)
    score = rng.normal(size=240) + 2 * shift + label
    patients = interval(bootstrap(label, score, np.repeat(np.arange(12), 20)), 6)
    slices = interval(bootstrap(label, score, np.arange(240)), 120)
    assert patients[0] < auroc(label, score) < patients[1]
    assert slices[1] - slices[0] < 0.7 * (patients[1] - patients[0])


def test_interval_is_refused_when_resamples_lack_a_class():
    label, score = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0])
    values = bootstrap(label, score, np.array(["a", "a", "b", "b"]), resamples=200)
    assert np.isnan(values).mean() == pytest.approx(0.5, abs=0.15)
    assert interval(values, 2) is None
    assert interval(np.array([0.5] * 19 + [np.nan]), 2) == (0.5, 0.5)


@pytest.mark.parametrize("patients", [10, 20, 200])
def test_the_interval_of_a_mean_is_as_wide_as_students(patients):
    """Of a mean it is known how wide it has to be; plain percentiles of 10 are a sixth too narrow."""
    values = np.random.default_rng(0).normal(size=patients)
    drawn = np.random.default_rng(1).integers(patients, size=(100_000, patients))
    low, high = interval(values[drawn].mean(axis=1), patients)
    student = scipy.stats.t.interval(0.95, patients - 1, values.mean(), scipy.stats.sem(values))
    assert high - low == pytest.approx(student[1] - student[0], rel=0.03)


def test_a_single_patient_has_no_interval():
    """Whatever is drawn of one patient is the same: an interval without width would say that it is certain."""
    rng = np.random.default_rng(0)
    labels = rng.random(100) < 0.5
    assert interval(bootstrap(labels, rng.random(100), ["a"] * 100, resamples=50), 1) is None
    assert interval(bootstrap(labels, rng.random(100), ["a", "b"] * 50, resamples=50), 2) is not None
