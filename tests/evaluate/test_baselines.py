"""The trivial baselines."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate.baselines import trivial_baselines, trivial_scores
from maescan.evaluate.summary import RankingMetrics
from maescan.method.patches import place_keys


def slices(n=40, seed=0):
    """Slices whose brightness and area grow with the label; every 7th of unknown label."""
    rng = np.random.default_rng(seed)
    label = np.tile([0, 1], n // 2).astype(np.int8)
    label[::7] = -1
    images = np.zeros((n, 8, 8), np.float32)
    for i in range(n):
        side = 3 + rng.integers(0, 4) + (label[i] == 1)
        images[i, :side, :side] = rng.uniform(0.5, 1, (side, side)) + 0.2 * (label[i] == 1)
    area = (images > 0).mean(axis=(1, 2))
    patient = np.repeat([f"p{i}" for i in range(n // 10)], 10)
    return SliceSet(images, patient, np.arange(n) % 10, label, area)


@pytest.mark.slow
def test_trivial_baselines_take_the_better_direction():
    data = slices()
    found = trivial_baselines(data)
    assert list(found) == ["tissue area", "slice position", "mean intensity", "bright pixels"]
    known = data.label >= 0
    expected = roc_auc_score(data.label[known], data.area[known])
    assert found["tissue area"] == (pytest.approx(expected), "higher")
    data = replace(data, area=-data.area)
    assert found["tissue area"][0] == pytest.approx(trivial_baselines(data)["tissue area"][0])
    assert trivial_baselines(data)["tissue area"][1] == "lower"


def test_trivial_scores_are_what_they_say():
    data = slices()
    scores = trivial_scores(data)
    np.testing.assert_allclose(scores["mean intensity"], data.images.mean(axis=(1, 2)), rtol=1e-6)
    limit = np.quantile(data.images[data.images > 0], 0.95)
    np.testing.assert_allclose(scores["bright pixels"].sum(), (data.images > limit).sum(), atol=2)
    np.testing.assert_allclose(scores["slice position"][:10], -np.abs(np.arange(10) / 9 - 0.5))


def test_a_patch_lies_where_it_is_cut_whichever_row_names_it():
    """A patch is numbered as its row in a table of candidates, which says nothing of where it lies."""
    data = slices()
    height, rows = data.slice * 2.5 - 11, np.random.default_rng(0).permutation(len(data))
    patches = replace(data, slice=rows, key=place_keys(np.stack([height + 7, -height, height], axis=1)))
    assert np.array_equal(patches.height, height) and np.array_equal(data.height, data.slice)
    positions = [trivial_scores(one)["slice position"] for one in (data, patches)]
    assert np.allclose(*positions) and len(np.unique(positions[0].round(6))) == 5
    found = RankingMetrics(patches, np.asarray(data.label) == 1, 0, 0, {})
    assert np.allclose(found.position, RankingMetrics(data, np.asarray(data.label) == 1, 0, 0, {}).position)


def test_baselines_of_blank_slices():
    data = slices()
    data = replace(data, images=np.zeros_like(data.images))
    assert trivial_baselines(data)["bright pixels"] == (0.5, "higher")


def test_baselines_need_two_classes():
    data = slices()
    data.label[:] = 1
    with pytest.raises(DataError, match="one class only"):
        trivial_baselines(data)
