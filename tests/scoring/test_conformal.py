from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.marks import slow
from maescan.errors import BundleError, DataError
from maescan.scoring.conformal import Reference, needed, surplus


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, *slow(0.2)])
def test_at_most_the_rate_of_healthy_scans_alert(rate):
    """Over 200 trials of 40 reference scans and 200 new ones of the same kind: within binomial error."""
    rng, alerts = np.random.default_rng(0), 0
    for _ in range(200):
        reference = Reference(tuple(sorted(rng.gamma(2, size=40))), (), rate)
        alerts += sum(reference.scan(score)[1] == "yes" for score in rng.gamma(2, size=200))
    assert 0.7 * rate < alerts / 40_000 < rate + 3 * (rate * (1 - rate) / 200 / 40) ** 0.5


def test_few_scans_cannot_alert_at_a_small_rate():
    few, enough = (Reference(tuple(range(n)), (), 0.05) for n in (18, 19))
    assert not few.can_alert and few.scan(1e9) == (round(1 / 19, 6), "no")
    assert enough.can_alert and enough.scan(1e9) == (0.05, "yes") and needed(0.05) == 19 and needed(0.1) == 9


SCORES = st.lists(
    st.one_of(
        st.sampled_from([0.0, 5e-324, 1e-320, 4e-7, 5e-7, 1e300, -1e300, 1.0]),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    min_size=2,
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@example([2e-7] * 31, 0.05)
@example([1e-9 * i for i in range(31)], 0.05)
@given(SCORES, st.floats(0, 1))
def test_alarms_keep_their_rate_for_any_scores(scores, rate):
    """Each scan against all others: exchangeable, so at most the rate of them may alert, by no chance."""
    alerts = 0
    for index, score in enumerate(scores):
        others = [other for place, other in enumerate(scores) if place != index]
        reference = Reference.of({"calibration": {"scans": others, "slices": [0.0]}}, rate)
        alerts += reference.scan(score)[1] == "yes"
    assert alerts <= math.floor(rate * len(scores) + 1e-9)


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", True, None])
def test_a_reference_of_what_is_no_score_is_refused(value):
    with pytest.raises(BundleError, match="its calibration is not lists of scores"):
        Reference.of({"calibration": {"scans": [0.1, value], "slices": [0.1]}}, 0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_refused(value):
    with pytest.raises(DataError, match="not finite"):
        Reference((0.1,), (0.1,), 0.5).scan(value)


def test_at_a_rate_of_0_nothing_alerts():
    reference = Reference((0.1,) * 99, (0.1,), 0.0)
    assert needed(0.0) is None and not reference.can_alert and reference.scan(9.0)[1] == "no"


@pytest.mark.slow
def test_surplus_is_the_share_of_draws_with_so_many_alerts():
    rng, counts = np.random.default_rng(0), []
    for _ in range(4000):
        scores = rng.random(19 + 30)
        reference = Reference(tuple(sorted(scores[:19])), (), 0.1)
        counts.append(sum(reference.scan(score)[1] == "yes" for score in scores[19:]))
    for alerts in (1, 3, 6, 12):
        assert surplus(19, 30, alerts, 0.1) == pytest.approx(np.mean(np.array(counts) >= alerts), abs=0.03)
    assert surplus(19, 30, 0, 0.1) == 1.0 and surplus(24, 33, 32, 0.05) < 1e-9 and surplus(5, 9, 9, 0.05) == 1.0


def calibration(scans=24, slices=30, seed=0):
    """Healthy scans whose slices score higher the higher they lie."""
    rng = np.random.default_rng(seed)
    at = np.tile(np.linspace(0, 1, slices), scans)
    scores = at + rng.random(len(at))
    worst = scores.reshape(scans, slices).max(axis=1)
    return {"scans": sorted(worst), "slices": scores.tolist(), "positions": at.tolist(), "worst": sorted(worst)}


def test_slices_are_compared_with_those_of_like_position_where_there_are_many_scans():
    of = Reference.of({"calibration": calibration()}, 0.05)
    scores, at = np.array([0.95, 0.95, 1.95]), np.array([0.05, 0.95, 0.95])
    low, same, high = of.slice_p(scores, at)
    assert low < 0.2 < 0.8 < same and high < 0.15
    assert of.slice_p(scores)[0] == of.slice_p(scores)[1] > low
    few = Reference.of({"calibration": calibration(scans=19)}, 0.05)
    assert few.slice_p(scores, at) == few.slice_p(scores)
    assert of.slice_p(scores[:1], np.array([9.0])) == of.slice_p(scores[:1])  # none is like it


def test_p_values_of_like_position_keep_their_rate():
    of, other = (Reference.of({"calibration": calibration(60, seed=seed)}, 0.05) for seed in (1, 2))
    p = np.array(of.slice_p(np.array(other.slices), np.array(other.positions)))
    at = np.array(other.positions)
    for low in (0.0, 0.4, 0.8):
        part = p[(at >= low) & (at <= low + 0.2)]
        assert 0.02 < (part <= 0.1).mean() < 0.2
    crude = np.array(of.slice_p(np.array(other.slices)))
    assert (crude[at > 0.8] <= 0.1).mean() > 0.3  # what the comparison is for


def test_a_scan_of_many_slices_has_many_chances_and_its_own_p_value():
    of = Reference.of({"calibration": calibration(99)}, 0.05)
    rng, slices, scans = np.random.default_rng(5), 0, 0
    for _ in range(200):
        scores = np.linspace(0, 1, 30) + rng.random(30)
        slices += min(of.slice_p(scores)) <= 0.05
        scans += min(of.any_slice_p(scores)) <= 0.05
    assert slices > 150 and scans <= 25
    assert Reference((0.1,), (0.1,), 0.05).any_slice_p(np.array([1.0])) is None


@pytest.mark.parametrize(
    "wrong",
    [{"positions": [0.1]}, {"worst": [None]}, {"counts": [2, 2]}, {"figures": [1]}, {"figures": {"a": ["b"]}}],
)
def test_more_of_a_calibration_that_is_none_is_refused(wrong):
    with pytest.raises(BundleError, match="positions or figures"):
        Reference.of({"calibration": {"scans": [0.1], "slices": [0.1, 0.2], **wrong}}, 0.05)


def test_no_p_value_is_rounded_to_0():
    """Of CT patches there are millions: the least p-value among them has more than six decimals."""
    slices = tuple(range(2_500_000))
    (p,) = Reference((0.0,), slices, 0.05).slice_p(np.array([1e9]))
    assert p == 1 / 2_500_001


def test_a_scan_of_other_voxels_or_of_few_slices_is_not_like_the_calibrations():
    """Interpolated to another grid every healthy phantom alerts, by values like training's; one slice never does."""
    reference = Reference((0.1,) * 20, (0.1,) * 640, 0.05, figures={"voxel size": (2.9, *[2.92] * 19)})
    assert reference.unlike({"voxel size": 2.9}, 32) == reference.unlike({"voxel size": 3.2}, 16) == []
    assert reference.unlike({"voxel size": 3.51}, 64) == [
        "its voxels are as large as cubes of 3.51 mm, the calibration's of 2.9 to 2.92 mm"
    ]
    few = "it has 1 slice, the calibration's scans 32: the more, the higher the highest"
    assert reference.unlike({"voxel size": 2.4}, 1)[1:] == [few] and not reference.unlike({}, 0)
    smooth = replace(reference, figures={"noise": (0.14, 0.3), "share of fine detail": (0.62, 0.72)})
    less = "its noise is 0.08, the calibration's 0.14 to 0.3: if it was interpolated or smoothed, it scores higher"
    assert smooth.unlike({"noise": 0.08, "share of fine detail": 0.4}, 32) == [f"{less} for that"]
    assert smooth.unlike({"noise": 0.2, "share of fine detail": 0.55}, 32)[0].startswith("its share of fine detail")
    assert smooth.unlike({"noise": 0.13, "share of fine detail": 0.6}, 32) == smooth.unlike({"noise": 0.08}, 0) == []
    assert Reference((0.1,), (0.1,), 0.05).unlike({"voxel size": 9.0}, 32) == []  # of an older maescan


def test_a_scan_of_as_many_slices_as_some_of_the_calibrations_is_like_these():
    """Of thick and thin slices, 24 and 160, each would lie far from their mean."""
    found = {"scans": [0.1] * 4, "slices": [0.1] * 368, "counts": [24, 24, 160, 160], "figures": {"noise": [1.0] * 4}}
    reference = Reference.of({"calibration": found}, 0.05)
    assert reference and not reference.unlike({}, 24) and not reference.unlike({}, 160)
    assert "11 slices, the calibration's scans 24 to 160: the" in reference.unlike({}, 11)[0]


def test_a_reference_says_of_how_many_patients_it_is():
    found = {"scans": [0.1, 0.2, 0.3], "slices": [0.1], "patients": 2}
    told = Reference.of({"calibration": found}, 0.05)
    assert told and told.state()["patients"] == 2 and "patients" not in Reference((0.1,), (), 0.05).state()
