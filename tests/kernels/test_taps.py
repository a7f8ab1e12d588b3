"""Resampling taps against scikit-image and against what they promise."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from skimage.transform import resize

from maescan.kernels import extract_slices, resample_taps


def _resampled(image, taps):
    options = {"scale": 1, "offset": 0, "background": None, "low": -np.inf, "high": np.inf}
    return extract_slices(image[None].astype(np.float32), taps, taps, **options)[0]


@pytest.mark.parametrize(("n_in", "n_out"), [(240, 224), (512, 224), (64, 64), (200, 224), (7, 5), (3, 8), (1, 4)])
def test_taps_are_scikit_images_resize(n_in, n_out):
    image = np.random.default_rng(n_in).random((n_in, n_in))
    options = {"order": 3, "anti_aliasing": True, "preserve_range": True, "clip": False}
    wanted = resize(image, (n_out, n_out), **options) if n_in > 1 else np.full((n_out, n_out), image[0, 0])
    np.testing.assert_allclose(_resampled(image, resample_taps(n_in, n_out)), wanted, atol=1e-4)


def test_whole_steps_copy_exactly():
    image = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    np.testing.assert_array_equal(_resampled(image, resample_taps(30, 30)), image)
    np.testing.assert_array_equal(_resampled(image, resample_taps(30, 10, start=4, step=1)), image[4:14, 4:14])


def test_a_wider_field_is_padded_with_air():
    image = np.ones((10, 10), np.float32)
    found = _resampled(image, resample_taps(10, 16, start=-3, step=1))
    assert (found[3:13, 3:13] == 1).all() and found.sum() == 100


def test_a_crop_is_part_of_the_whole():
    whole, crop = resample_taps(60, 40), resample_taps(60, 10, start=15 * 1.5, step=1.5)
    image = np.random.default_rng(0).random((60, 60))
    np.testing.assert_allclose(_resampled(image, crop), _resampled(image, whole)[15:25, 15:25], atol=1e-4)


@pytest.mark.parametrize(
    "arguments", [{"n_in": 0, "n_out": 3}, {"n_in": 3, "n_out": 0}, {"n_in": 3, "n_out": 3, "step": 0.0}]
)
def test_impossible_sizes(arguments):
    with pytest.raises(ValueError, match=r"resample|step"):
        resample_taps(**arguments)


def test_weights_sum_to_one_and_stay_inside():
    taps = resample_taps(37, 50)
    np.testing.assert_allclose(taps.weights.sum(axis=1), 1, atol=1e-6)
    assert taps.index.min() >= 0 and taps.index.max() + taps.weights.shape[1] <= 37


def _dense(taps):
    made = np.zeros((len(taps.index), taps.n_in))
    np.put_along_axis(made, taps.index[:, None] + np.arange(taps.weights.shape[1]), taps.weights, axis=1)
    return made


@pytest.mark.parametrize("n_in", [900, 1500])
@pytest.mark.parametrize(
    ("n_out", "field"),
    [(224, {}), (2000, {}), (3, {}), (300, {"start": -40.0, "step": 4.3}), (300, {"start": 100.25, "step": 0.37}),
     (7, {"step": 3000.0}), (400, {"start": 7.0, "step": 1.0}), (1700, {"start": -100.3, "step": 1.001})],
)  # fmt: skip
def test_long_axes_are_resampled_alike_without_a_matrix(monkeypatch, n_in, n_out, field):
    found = []
    for dense in (10, 10_000):
        monkeypatch.setattr("maescan.kernels.taps.DENSE", dense)
        resample_taps.cache_clear()
        found.append(_dense(resample_taps(n_in, n_out, **field)))
    resample_taps.cache_clear()
    np.testing.assert_allclose(*found, atol=1e-6, rtol=0)


def test_long_axes_take_little_memory():
    resample_taps.cache_clear()
    tracemalloc.start()
    resample_taps(4096, 224)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e7, "a matrix of 4096 x 4096 has 134 MB"
