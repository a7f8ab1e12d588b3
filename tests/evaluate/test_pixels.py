"""Pixels against masks."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from maescan.errors import DataError
from maescan.evaluate.pixels import PixelCounts


def counted(values, mask, within=None, parts=1):
    counts = PixelCounts()
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
    counts = PixelCounts()
    counts.add(np.ones((1, 2, 2)))
    with pytest.raises(DataError, match="no lesion pixels"):
        counts.auroc()
    with pytest.raises(DataError, match="no lesion pixels"):
        counts.best_dice()
    with pytest.raises(DataError, match="NaN"):
        counts.add(np.full((1, 2, 2), np.nan))
    with pytest.raises(DataError, match="no pixels"):
        PixelCounts().quantile(0.5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95, 1.0])
def test_quantile_of_signed_values(share):
    values = np.linspace(-3, 3, 1001, dtype=np.float32)[None]
    assert counted(values, values > 9).quantile(share) == pytest.approx(np.quantile(values, share), abs=0.01)


def test_at_a_threshold_over_ties_as_many_stay_under_it():
    counts = PixelCounts()
    values = np.zeros((1, 10, 100), np.float32)
    values[0, 0, :5] = 1
    counts.add(values, None)
    threshold = counts.least_over(0.99)
    assert (values < threshold).mean() >= 0.99 and 0 < threshold < 1
