"""Anomalies for training: reproducible, inside tissue, of the sizes and directions that they say."""

import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.method.anomalies import KINDS, MORE, SHARES, Place, blob, field, put_anomalies, smooth
from maescan.method.tokens import tissue_of

TINY = PRESETS["tiny"]


def brains(count=12, size=64):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    images = np.stack([1 + 0.3 * field(size, 1.5, rng) for _ in range(count)]).clip(0.2, 2)
    return np.where(x**2 + y**2 < 0.6, images, 0).astype(np.float32)


IMAGES = brains()


def put(images=IMAGES, ids=None, seed=0, epoch=0, preset=TINY):
    return put_anomalies(images, np.arange(len(images)) if ids is None else ids, preset, seed=seed, epoch=epoch)


def test_a_draw_depends_on_seed_slice_and_epoch():
    first = put()
    np.random.default_rng(5).random(9)
    assert all(np.array_equal(a, b) for a, b in zip(first, put(), strict=True))
    for other in (put(seed=1), put(epoch=1), put(ids=np.arange(12) + 50)):
        assert not np.array_equal(first[1], other[1])
    assert np.array_equal(put(IMAGES[3:5], [3, 4])[1][0], first[1][3])


def test_only_tissue_changes_and_only_where_it_is_said():
    made, where = put()
    assert where.min() >= 0 and where.max() <= 1 and not where[~tissue_of(IMAGES, TINY)].any()
    assert np.array_equal(made[where == 0], IMAGES[where == 0])
    assert (np.abs(made - IMAGES).reshape(12, -1).max(axis=1) > 0.01).mean() > 0.8
    assert made.min() >= 0 and made.max() <= 3


def test_it_leaves_its_input_alone_and_slices_of_air_as_they_are():
    images = IMAGES.copy()
    images[4] = 0
    kept = images.copy()
    made, where = put(images)
    assert np.array_equal(images, kept) and not made[4].any() and not where[4].any()


def test_sizes_span_what_is_promised():
    tissue = tissue_of(IMAGES, TINY)
    shares = np.concatenate([put(seed=s)[1].reshape(12, -1).sum(axis=1) / tissue.reshape(12, -1).sum(axis=1)
                             for s in range(12)])  # fmt: skip
    assert (
        np.quantile(shares, 0.02) < 4 * SHARES[0] and shares.max() > 0.5 * SHARES[1] and shares.max() < 3 * SHARES[1]
    )
    assert 0 < MORE < 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_its_place(kind):
    rng = np.random.default_rng(1)
    tissue = tissue_of(IMAGES, TINY)[0]
    for _ in range(5):
        soft = blob(tissue, 6.0, rng)
        made = KINDS[kind](Place(IMAGES[0], tissue, soft, IMAGES[1], rng))
        assert made.shape == (64, 64) and np.isfinite(made).all()
        assert np.abs(made - IMAGES[0])[soft > 0.5].mean() > 0.005


def test_contrast_goes_both_ways():
    rng = np.random.default_rng(2)
    tissue = tissue_of(IMAGES, TINY)[0]
    for kind in ("contrast", "offset"):
        change = [
            (KINDS[kind](Place(IMAGES[0], tissue, blob(tissue, 6.0, rng), IMAGES[1], rng)) - IMAGES[0])[tissue].mean()
            for _ in range(20)
        ]
        assert min(change) < 0 < max(change)


def test_hounsfield_units_stay_in_range():
    preset = PRESETS["luna16"]
    images = np.where(IMAGES > 0, IMAGES - 1, -10.0).astype(np.float32)
    made, where = put(images, preset=preset)
    assert made.min() >= -10.24 and made.max() <= 30.71 and where.any()


def test_a_blur_keeps_the_mean_and_noise_has_deviation_one():
    image = IMAGES[0]
    assert smooth(np.full((9, 9), 2.0, np.float32), 1.5) == pytest.approx(2.0)
    assert smooth(image, 2.0).std() < image.std()
    assert field(64, 2.0, np.random.default_rng(0)).std() == pytest.approx(1, abs=1e-5)
