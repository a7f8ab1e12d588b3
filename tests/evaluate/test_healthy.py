from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.stubs import StubEngine
from maescan.config import preset
from maescan.datasets import SliceSet
from maescan.evaluate.healthy import HealthyScores, at_healthy_threshold, dice_at_healthy_threshold, healthy_scores
from maescan.evaluate.markdown import _at_healthy
from maescan.evaluate.pixels import PixelCounts

TINY = preset("tiny").replace(masks__passes=1)


def test_the_threshold_is_healthy_slices_and_the_rate_is_what_it_comes_to_on_others():
    rng = np.random.default_rng(0)
    found = at_healthy_threshold(
        np.repeat([0, 1], 1000),
        np.concatenate([rng.normal(size=1000), rng.normal(3, 1, 1000)]),
        HealthyScores("validation", rng.normal(size=2000)),
    )
    assert found.specificity == pytest.approx(0.95, abs=0.02) and found.sensitivity > 0.85
    assert found.threshold == pytest.approx(1.645, abs=0.15) and found.slices == 2000
    shifted = at_healthy_threshold([0, 0, 1], [5.0, 6.0, 7.0], HealthyScores("calibration", np.arange(4.0)))
    assert (shifted.specificity, shifted.sensitivity) == (0.0, 1.0)


def test_few_healthy_slices_are_all_under_it():
    assert at_healthy_threshold([0, 1], [3.0, 4.0], HealthyScores("calibration", np.arange(4.0))).specificity == 1.0
    assert at_healthy_threshold([1], [4.0], HealthyScores("calibration", np.arange(4.0))).specificity is None


def set_of(parts):
    images = np.random.default_rng(0).random((len(parts), 64, 64)).astype(np.float32)
    patient = np.array([f"p{i // 2}" for i in range(len(parts))])
    label, zeros = np.zeros(len(parts), np.int8), np.ones(len(parts), np.float32)
    return SliceSet(images, patient, np.arange(len(parts)) % 2, label, zeros, split=np.array(parts))


def test_validation_comes_first_then_calibration_then_nothing():
    data = set_of(["val", "val", "test", "test", "val", "test"])
    judged = data.select(np.asarray(data.split) == "test")
    manifest = {"calibration": {"slices": [0.1, 0.2]}}
    found = healthy_scores(data, judged, manifest, StubEngine(), TINY)
    assert found.source == "validation" and len(found.scores) == 2  # p2 is judged too
    alone = dataclasses.replace(data, split=None)
    assert healthy_scores(alone, judged, manifest, StubEngine(), TINY).source == "calibration"
    assert healthy_scores(alone, judged, {"calibration": None}, StubEngine(), TINY) is None
    tiled = {"calibration": {**manifest["calibration"], "regions": "tile"}}
    assert healthy_scores(alone, judged, tiled, StubEngine(), TINY) is None


def test_dice_at_the_threshold_of_healthy_pixels():
    heat, healthy = PixelCounts(), PixelCounts()
    healthy.add(np.linspace(0, 1, 1001))
    heat.add(np.array([0.5, 2.0, 2.0, 2.0]), np.array([False, False, True, True]))
    found = dice_at_healthy_threshold(heat, healthy, "validation")
    assert found["threshold"] == pytest.approx(0.99, abs=0.01) and found["dice"] == pytest.approx(0.8)
    assert heat.dice_at(0.5) == pytest.approx(2 * 2 / (4 + 2)) and heat.dice_at(3.0) == 0.0


def test_scans_that_gave_the_threshold_are_counted_and_told():
    """Their 95 % is how the threshold was made; of others nobody knows."""
    rng = np.random.default_rng(0)
    score, scan = rng.random(60), np.repeat(["a", "b", "c", "d", "e", "f"], 10)
    other = np.where(scan == "e", score, rng.random(60))
    other[55] = score[55]  # a slice that scores alike by chance makes no scan known
    found = at_healthy_threshold(
        scan == "d", score, HealthyScores("calibration", np.r_[score[:20], other[20:]]), scan
    )
    assert found.shared == 3
    (row, _) = _at_healthy(found._asdict())
    assert "60 healthy slices (calibration, with 3 of the scans judged: it does worse on others)" in row[0]
    assert (
        at_healthy_threshold([0, 1], [3.5, 4.0], HealthyScores("validation", np.arange(4.0)), ["a", "b"]).shared == 0
    )
