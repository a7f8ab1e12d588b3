"""Baselines, pixels, lesions and scans."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from maescan.datasets import SliceSet
from maescan.errors import DataError
from maescan.evaluate import metrics


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


def test_trivial_baselines_take_the_better_direction():
    data = slices()
    found = metrics.trivial_baselines(data)
    assert list(found) == ["brain area", "slice position", "mean intensity", "bright pixels"]
    known = data.label >= 0
    expected = roc_auc_score(data.label[known], data.area[known])
    assert found["brain area"] == (pytest.approx(expected), "higher")
    data = replace(data, area=-data.area)
    assert found["brain area"][0] == pytest.approx(metrics.trivial_baselines(data)["brain area"][0])
    assert metrics.trivial_baselines(data)["brain area"][1] == "lower"


def test_trivial_scores_are_what_they_say():
    data = slices()
    scores = metrics.trivial_scores(data)
    np.testing.assert_allclose(scores["mean intensity"], data.images.mean(axis=(1, 2)), rtol=1e-6)
    limit = np.quantile(data.images[data.images > 0], 0.95)
    np.testing.assert_allclose(scores["bright pixels"].sum(), (data.images > limit).sum(), atol=2)
    np.testing.assert_allclose(scores["slice position"][:10], -np.abs(np.arange(10) / 9 - 0.5))


def test_baselines_of_blank_slices():
    data = slices()
    data = replace(data, images=np.zeros_like(data.images))
    assert metrics.trivial_baselines(data)["bright pixels"] == (0.5, "higher")


def test_baselines_need_two_classes():
    data = slices()
    data.label[:] = 1
    with pytest.raises(DataError, match="one class only"):
        metrics.trivial_baselines(data)


def test_foreground_is_all_over_the_lowest_value():
    image = np.array([[[-3.0, -3.0], [-2.0, 5.0]]])
    assert metrics.foreground(image).tolist() == [[[False, False], [True, True]]]


def counted(values, mask, within=None, parts=1):
    counts = metrics.PixelCounts()
    for rows in np.array_split(np.arange(len(values)), parts):
        counts.add(values[rows], mask[rows], None if within is None else within[rows])
    return counts


def test_pixel_auroc_is_scikit_learns_and_batches_do_not_matter():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(6, 16, 16)) < 0.1
    values = (rng.normal(size=mask.shape) + mask).astype(np.float32)
    within = rng.uniform(size=mask.shape) < 0.7
    whole, parts = counted(values, mask), counted(values, mask, parts=3)
    assert whole.auroc() == pytest.approx(roc_auc_score(mask.ravel(), values.ravel()), abs=1e-4)
    assert (whole.auroc(), whole.best_dice()) == (parts.auroc(), parts.best_dice())
    assert counted(values, mask, within).auroc() == pytest.approx(
        roc_auc_score(mask[within], values[within]), abs=1e-4
    )


def test_best_dice_by_hand():
    values = np.array([[4.0, 3.0, 2.0, 1.0, 0.0, -1.0]], np.float32)
    mask = np.array([[1, 0, 1, 0, 0, 0]])
    dice, threshold = counted(values, mask).best_dice()
    assert (dice, threshold) == (0.8, 2.0)  # three marked, both lesion pixels among them: 2 * 2 / (3 + 2)


def test_best_dice_is_that_of_a_search():
    rng = np.random.default_rng(1)
    mask = rng.uniform(size=(4, 12, 12)) < 0.2
    values = np.round(rng.normal(size=mask.shape) + mask, 1).astype(np.float32)
    best = max(2 * (mask & (values >= t)).sum() / (mask.sum() + (values >= t).sum()) for t in np.unique(values))
    assert counted(values, mask).best_dice()[0] == pytest.approx(best)


def test_pixels_refuse_nan_and_missing_masks():
    counts = metrics.PixelCounts()
    counts.add(np.ones((1, 2, 2)))
    with pytest.raises(DataError, match="no lesion pixels"):
        counts.auroc()
    with pytest.raises(DataError, match="no lesion pixels"):
        counts.best_dice()
    with pytest.raises(DataError, match="NaN"):
        counts.add(np.full((1, 2, 2), np.nan))
    with pytest.raises(DataError, match="no pixels"):
        metrics.PixelCounts().quantile(0.5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95, 1.0])
def test_quantile_of_signed_values(share):
    values = np.linspace(-3, 3, 1001, dtype=np.float32)[None]
    assert counted(values, values > 9).quantile(share) == pytest.approx(np.quantile(values, share), abs=0.01)


def test_lesion_share_and_contrast_by_hand():
    image = np.array([[[0, 1, 3], [1, 3, 4], [0, 0, 4]]], np.float32)
    mask = image == 4
    assert metrics.lesion_share(image, mask)[0] == 2 / 6
    assert metrics.lesion_contrast(image, mask)[0] == pytest.approx((4 - 2) / 1)
    assert metrics.lesion_share(image, mask * 0)[0] == 0
    assert np.isnan(metrics.lesion_contrast(image, mask * 0)[0])
    assert np.isnan(metrics.lesion_contrast(image, image > 0)[0])


def test_sensitivity_by_bin():
    rows = metrics.by_bin([0.001, 0.02, 0.019, 0.3, np.nan], [False, True, False, True, True], (0.005, 0.02), "%")
    assert rows == [
        {"bin": "under 0.5 %", "slices": 1, "sensitivity": 0.0},
        {"bin": "0.5 to 2 %", "slices": 1, "sensitivity": 0.0},
        {"bin": "2 % and over", "slices": 2, "sensitivity": 1.0},
    ]
    assert metrics.by_bin([], [], (0.5,))[0]["sensitivity"] is None


def test_scan_auroc_takes_a_scan_as_abnormal_when_a_slice_is():
    patient = np.repeat(["a", "b", "c"], 4)
    label = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0, 0, 0, 0.3, 0.9, 0, 0, 0, 0.4, 0.4, 0.4, 0])
    assert metrics.scan_auroc(label, score, patient, {"method": "max"}) == 1.0
    assert metrics.scan_auroc(label, score, patient, {"method": "top", "k": 3}) == 0.5  # b 0.3, a 0.1, c 0.4
    with pytest.raises(DataError, match="one class only"):
        metrics.scan_auroc(label[4:8], score[4:8], patient[4:8])
