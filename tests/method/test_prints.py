from __future__ import annotations

import numpy as np
import pytest

from maescan.method.prints import scan_print, seen, slice_prints, training_prints

IMAGES = np.random.default_rng(0).random((12, 8, 8), dtype=np.float32)
PATIENTS = np.repeat(["a", "b", "c"], 4)


def test_prints_are_of_values_as_they_are_kept():
    kept = IMAGES.astype(np.float16)
    assert slice_prints(IMAGES) == slice_prints(kept) and len(set(slice_prints(IMAGES))) == 12
    assert slice_prints(np.zeros((3, 8, 8))) == []
    assert scan_print(slice_prints(IMAGES)) != scan_print(slice_prints(IMAGES[::-1]))


def test_a_scan_is_known_again_by_any_of_the_slices_that_trained():
    training = {"salt": "x", "scans": training_prints(IMAGES[:8], PATIENTS[:8], "x")}
    assert len(training["scans"]) == 2
    assert [seen(slice_prints(IMAGES[i : i + 4]), training) for i in (0, 4, 8)] == [True, True, False]
    assert not seen(slice_prints(IMAGES[:4]), None) and not seen([], training)


def test_bundles_cannot_be_compared_by_their_training_scans():
    assert set(training_prints(IMAGES, PATIENTS, "x")).isdisjoint(training_prints(IMAGES, PATIENTS, "y"))


def test_a_slice_of_zeros_of_either_sign_shows_nothing():
    zeros = np.zeros((3, 8, 8), np.float16)
    zeros[1:, 2:4] = -0.0
    zeros[2, 5] = 1e-7
    assert len(slice_prints(zeros)) == 1 and slice_prints(zeros)[0] == slice_prints(zeros[2:])[0]
    with np.errstate(all="raise"):
        assert slice_prints(np.where(IMAGES > 0.5, np.float32(1e6), IMAGES))  # beyond float16's range


def test_slices_are_rounded_as_numpy_does():
    values = np.random.default_rng(1).normal(0, 300, (2, 40, 33)).astype(np.float32)
    values[0, 0, :4] = 1e-6, 65519, 65520, np.nextafter(np.float32(1.0), np.float32(2.0))
    with np.errstate(over="ignore"):
        assert slice_prints(values) == slice_prints(values.astype(np.float16))


@pytest.mark.parametrize("shape", [(19, 16, 16), (3, 12, 20), (0, 8, 8)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "bool"])
def test_every_slice_is_rounded_whatever_its_shape_and_strides(shape, dtype):
    values = np.random.default_rng(0).normal(0, 300, shape).clip(-50).astype(dtype)
    for given in (values, values.swapaxes(1, 2), values[::-1, :, ::-1]):
        assert slice_prints(given) == slice_prints((given.astype(np.float32) + 0).astype(np.float16))
    if dtype == "float32" and len(values):
        zeros, minus = np.where(values < 0, 0, values), np.where(values < 0, np.float32(-0.0), values)
        assert slice_prints(minus) == slice_prints(zeros)
