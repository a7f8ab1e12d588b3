"""Paired insertion."""

import numpy as np
import pytest

from helpers.labelled import TINY, healthy_slices
from helpers.stubs import StubEngine
from maescan.errors import DataError
from maescan.evaluate.acceptance import stress_set
from maescan.evaluate.healthy import HealthyScores, at_healthy_threshold
from maescan.evaluate.insertions import KINDS, LESIONS
from maescan.evaluate.markdown import stress_text
from maescan.evaluate.stress import Healthy, Stressed, stress_slices, summarise
from maescan.options import EvaluateOptions


def brightness(images, numbers):
    return {"score": images.mean(axis=(1, 2))}, images


def test_a_score_that_is_brightness_rises_for_bright_lesions_and_falls_for_dark_ones():
    found = summarise(stress_slices(Healthy(healthy_slices(), TINY), brightness))
    rows = found["measures"]["score"]["kinds"]
    assert set(rows) == set(KINDS)
    assert rows["brighter"]["rises"]["share"] == 1 and rows["darker"]["rises"]["share"] == 0
    assert rows["darker"]["rises"]["interval"] == [0.0, 0.0]
    assert {"darker", "missing tissue"} <= set(found["not_better_than_a_coin"])
    assert "brighter" not in found["not_better_than_a_coin"]
    assert found["found"]["brighter"] > 0.8 > 0.2 > found["found"]["missing tissue"]


def test_a_constant_score_is_a_coin_and_passes_nothing():
    made = stress_slices(Healthy(healthy_slices(), TINY), lambda images, _: ({"score": np.ones(len(images))}, None))
    found = summarise(made)
    for row in found["measures"]["score"]["kinds"].values():
        assert row["rises"]["share"] == 0.5 and row["passes"]["share"] == 0
    assert found["not_better_than_a_coin"] == list(LESIONS)
    assert found["found"]["flat"] is None
    assert {row["rises"] for row in found["by_size"] if row["slices"]} == {0.5}


def test_the_threshold_is_passed_by_at_most_a_twentieth_of_healthy_slices():
    def noise(images, numbers):
        return {"score": (images * 1e4 % 1).mean(axis=(1, 2))}, None

    found = summarise(stress_slices(Healthy(healthy_slices(8, 10), TINY), noise, kinds=("flat",)))
    assert found["measures"]["score"]["healthy_passes"] <= 0.05


@pytest.mark.slow
def test_batches_and_a_subset_change_no_draw():
    data = healthy_slices()
    every, fewer = Healthy(data, TINY), Healthy(data, TINY, most=7)
    assert len(fewer) == 7 and len(set(fewer.patient)) == 4
    one, other = (stress_slices(every, brightness, batch=batch) for batch in (3, 32))
    for kind in KINDS:
        assert np.array_equal(one.after[kind]["score"], other.after[kind]["score"])
    place = int(np.flatnonzero(every.which == fewer.which[3])[0])
    assert np.array_equal(every.insertion("flat", place).image, fewer.insertion("flat", 3).image)


def test_only_slices_known_to_be_healthy_with_room_for_a_lesion_are_taken():
    data = healthy_slices()
    data.label[:] = 1
    data.label[5], data.label[6] = 0, -1
    assert list(Healthy(data, TINY).which) == [5]
    data.area[5] = 0.01
    with pytest.raises(DataError, match="known to be healthy"):
        Healthy(data, TINY)
    assert stress_set(data, StubEngine(), TINY) is None


def test_foreign_tissue_comes_from_another_patient():
    data = healthy_slices(2, 3)
    data.images[3:] = np.where(data.images[3:] > 0, 2.0, 0)
    one = Healthy(data, TINY).insertion("foreign tissue", 0)
    assert (one.image[one.mask] == data.images[:3].max()).mean() > 0.5


def test_one_patient_has_no_interval():
    found = summarise(stress_slices(Healthy(healthy_slices(1), TINY), brightness, kinds=("flat",)))
    assert found["measures"]["score"]["kinds"]["flat"]["rises"]["interval"] is None
    assert "| flat |" in stress_text(found)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="score is NaN or infinite for 24 slices"):
        stress_slices(
            Healthy(healthy_slices(), TINY), lambda images, _: ({"score": np.full(len(images), np.nan)}, None)
        )


def test_an_evaluation_says_how_its_model_stands_the_test(tmp_path):
    from maescan.evaluate.run import evaluate_slices

    data = healthy_slices()
    data.label[::3] = 1
    found = evaluate_slices(
        data, StubEngine(), TINY, tmp_path, {}, EvaluateOptions(resamples=10, draw=False, stressed=8)
    )
    assert found["stress"]["slices"] == 8
    assert "## Lesions put into healthy slices" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("slices", [20, 37, 40, 100, 256])
def test_the_threshold_is_the_one_that_evaluate_takes(slices):
    """The least that 95 % of the healthy slices stay under: of 20 one lies over it, as of 100 five do."""
    score = np.random.default_rng(0).permutation(slices).astype(float)
    names = np.array([f"p{i}" for i in range(slices)])
    found = summarise(
        Stressed(names, names, np.arange(slices), {"score": score}, {"flat": {"score": score}}, {}, {}, {})
    )
    at = at_healthy_threshold(np.zeros(slices), score, HealthyScores("validation", score))
    assert found["measures"]["score"]["healthy_passes"] == pytest.approx(1 - at.specificity)
    assert found["measures"]["score"]["healthy_passes"] == pytest.approx(slices // 20 / slices)


def test_a_patch_of_lung_has_room_and_its_lesions_lie_in_lung():
    data = healthy_slices()
    data.images[:] = np.where(data.images > 0.8, np.float32(0.4), np.float32(-8.5))
    data.area[:] = 0.01
    healthy = Healthy(data, TINY.replace(intensity__method="hu", grid__field_mm=None))
    put = healthy.insertion("foreign tissue", 0)
    assert put.mask.any() and healthy.tissue.all()
