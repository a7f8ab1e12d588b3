"""A wrong argument is refused by name, before memory is touched."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.kernel_cases import masks, predictions, slices, token_ids
from maescan import kernels
from maescan.errors import ConfigError

KEEP, RESTORE = masks(2, 1, 4, 2)
X, PREDICTED = slices(2, 8, 8), predictions(2, 4, 4, "float32")


def _patchify(x=X, keep=KEEP, tokens=None, **options):
    return kernels.patchify_visible(x, keep, tokens, **{"patch": 4, **options})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X.astype(float)}, "slices must be float32, not float64"),
        ({"x": X[0]}, r"slices must have 3 axes, not shape \[8, 8\]"),
        ({"keep": KEEP.astype(np.int64)}, "keep_ids must be int32, not int64"),
        ({"keep": KEEP[:, ::-1]}, "keep_ids must be contiguous"),
        ({"keep": KEEP + 3}, "keep_ids must be from 0 to 3, not"),
        ({"keep": KEEP - 9}, "keep_ids must be from 0 to 3, not -"),
        ({"keep": KEEP[:0]}, "keep_ids must have a whole number of rows"),
        ({"tokens": token_ids(2, 4, 3)}, "keep_ids must be from 0 to 2, not 3"),
        ({"tokens": token_ids(2, 4, 4) + 1}, "token_ids must be from 0 to 3, not 4"),
        ({"tokens": token_ids(3, 4, 4)}, r"token_ids must have shape \[2, any\], not \[3, 4\]"),
        ({"patch": 5}, "slices must have sides that are multiples of the patch side 5"),
        ({"patch": 0}, "patch|multiples"),
        ({"out": np.zeros((2, 2, 16), np.int8)}, "patches must be float32, float16 or bfloat16, not int8"),
        ({"out": np.zeros((2, 3, 16), np.float32)}, r"patches must have shape \[2, 2, 16\], not \[2, 3, 16\]"),
    ],
)
def test_patchify_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        _patchify(**arguments)


def test_outputs_must_be_writable():
    out = np.zeros((2, 2, 16), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="patches is read-only"):
        _patchify(out=out)


def test_read_only_inputs_are_fine():
    x = X.copy()
    x.flags.writeable = False
    np.testing.assert_array_equal(_patchify(x), _patchify())


def test_what_is_no_array():
    with pytest.raises(TypeError, match="slices must be an array, not list"):
        kernels.patchify_visible([1, 2], KEEP, patch=4)
    with pytest.raises(TypeError, match="token_ids must be an array, not list"):
        kernels.patchify_visible(X, KEEP, [[1]], patch=4)


@pytest.mark.parametrize(
    ("predicted", "restore", "message"),
    [
        (PREDICTED[:, :3], RESTORE, "predictions must be of every token, or of the hidden ones"),
        (PREDICTED[:, ::-1], RESTORE, "predictions must be contiguous"),
        (PREDICTED.astype(np.int32), RESTORE, "predictions must be float32, float16 or bfloat16, not int32"),
        (PREDICTED, RESTORE[:, :3], r"restore_ids must have shape \[2, 4\], not \[2, 3\]"),
    ],
)
def test_average_difference_refuses(predicted, restore, message):
    with pytest.raises(ValueError, match=message):
        kernels.average_difference(X, predicted, restore, keep=2, patch=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 5}, "5 of 4 tokens"),
        ({"keep": 0}, "0 of 4 tokens"),
        ({"seed": -1}, "seed -1"),
        ({"strategy": "striped"}, "unknown mask strategy 'striped'"),
        ({"strategy": "complementary", "passes": 3}, "not 3 x 2 = 4"),
    ],
)
def test_masks_refuse(options, message):
    with pytest.raises(ConfigError, match=message):
        kernels.make_masks(np.arange(2), **{**{"seed": 0, "passes": 2, "tokens": 4, "keep": 2}, **options})


def test_the_rest_refuses():
    with pytest.raises(ValueError, match="sides of at least 7"):
        kernels.ssim(X[:, :6], X[:, :6])
    with pytest.raises(ValueError, match=r"boxes must have shape \[2, any, 4\]"):
        kernels.pseudo_abnormal(X, np.zeros((2, 1, 3), np.int32), np.zeros((2, 1), np.float32))
    taps = kernels.resample_taps(9, 4)
    with pytest.raises(ValueError, match="slices of 9 x 9 voxels, not 8 x 8"):
        kernels.extract_slices(X, taps, taps, scale=1, offset=0, background=None, low=0, high=1)


def test_threads_must_be_positive():
    with pytest.raises(ConfigError, match="0 threads"):
        kernels.set_threads(0)
