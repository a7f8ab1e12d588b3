"""Every kernel against its numpy twin, on every device: dtypes, odd sizes, strides, token sets."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from helpers.kernel_cases import (
    DTYPES,
    agree,
    masks,
    predictions,
    slices,
    strided,
    to_device,
    to_numpy,
    token_ids,
)
from maescan import kernels
from maescan.kernels import reference

KNOWN_PHILOX = [  # key, counter, words: Random123's known answers
    ((0, 0), [0, 0, 0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ((2**32 - 1, 2**32 - 1), [2**32 - 1] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        (0xA4093822, 0x299F31D0),
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN_PHILOX)
def test_noise_is_philox(key, counter, words):
    assert reference.philox(key, np.array(counter, np.uint64)).tolist() == words


@pytest.mark.parametrize("tokens", [1, 16, 63, 196])
def test_random_masks(device, tokens):
    ids = np.array([0, 5, 2**63 + 1, 2**64 - 1], np.uint64)
    agree(device, "make_masks", ids, seed=2**63 + 5, passes=3, tokens=tokens, keep=max(tokens // 4, 1))


def test_complementary_masks(device):
    options = {"seed": 7, "passes": 4, "tokens": 196, "keep": 49, "strategy": "complementary"}
    agree(device, "make_masks", np.arange(3), **options)
    keep_ids, restore_ids = kernels.make_masks(np.arange(3), **options)
    assert (np.sort(keep_ids.reshape(3, 196)) == np.arange(196)).all()
    assert ((restore_ids < 49).reshape(3, 4, 196).sum(axis=1) == 1).all()


def test_masks_are_the_slices_own():
    def one(ids):
        return kernels.make_masks(np.asarray(ids), seed=1, passes=2, tokens=64, keep=16)[1]

    np.testing.assert_array_equal(one([9, 4, 7])[2:4], one([4]))
    assert (one([4]) != one([5])).any() and (one([4])[0] != one([4])[1]).any()


def test_masks_are_permutations_that_fit():
    keep_ids, restore_ids = kernels.make_masks(np.arange(5), seed=0, passes=2, tokens=60, keep=15)
    assert (np.sort(restore_ids) == np.arange(60)).all()
    assert (np.take_along_axis(restore_ids, keep_ids.astype(int), 1) == np.arange(15)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("patch", [3, 4, 8, 16])
@pytest.mark.parametrize("chosen", [None, 5])
def test_patchify_visible(device, dtype, patch, chosen):
    tokens, x = chosen or 12, slices(2, 3 * patch, 4 * patch)
    ids = token_ids(2, 12, tokens) if chosen else None
    agree(device, "patchify_visible", x, masks(2, 3, tokens, 3)[0], ids, patch=patch, dtype=dtype)
    agree(device, "patchify", x, ids, patch=patch, dtype=dtype)


def test_patchify_rounds_every_kind_of_number(device):
    rng = np.random.default_rng(0)
    bits = np.concatenate([rng.integers(0, 2**32, 65000), np.arange(0, 2**32, 2**20 + 2**12 - 1)])[: 256 * 256]
    x = bits.astype(np.uint32).view(np.float32)
    x = np.where(np.isnan(x), np.float32(1), x).reshape(1, 256, -1)
    with np.errstate(over="ignore"):
        for dtype in DTYPES:
            agree(device, "patchify", x, patch=8, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("patch", [3, 8, 16])
@pytest.mark.parametrize("chosen", [None, 5])
def test_average_difference(device, dtype, patch, chosen):
    tokens, x = chosen or 12, slices(2, 4 * patch, 3 * patch)
    ids = token_ids(2, 12, tokens) if chosen else None
    wanted = {"reconstruction": True, "squared": True, "tokens": True, "errors": True}
    for passes in (1, 3):
        arguments = x, predictions(2 * passes, tokens, patch, dtype), masks(2, passes, tokens, 2)[1]
        agree(device, "average_difference", *arguments, keep=2, patch=patch, token_ids=ids, **wanted)
    agree(device, "average_difference", *arguments, keep=2, patch=patch, token_ids=ids)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strategy", ["random", "complementary"])
def test_hidden_tokens_alone(device, dtype, strategy):
    """Their ids are the order's rest, and predictions of them alone give what predictions of all give."""
    options = {"seed": 3, "passes": 3, "tokens": 12, "keep": 4, "strategy": strategy}
    keep_ids, restore_ids = reference.make_masks(np.arange(2), **options)
    empty = [to_device(np.full((6, size), -1, np.int32), device) for size in (4, 12, 8)]
    made = [
        to_numpy(array) for array in kernels.make_masks(to_device(np.arange(2), device), **options, out=tuple(empty))
    ]
    shuffle = np.argsort(restore_ids, axis=1)
    for found, wanted in zip(made, (keep_ids, restore_ids, shuffle[:, 4:]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    x, ids, every = slices(2, 32, 24), token_ids(2, 12, 12), predictions(6, 12, 8, dtype)
    few = np.take_along_axis(every, shuffle[:, 4:, None], axis=1)
    wanted = {"reconstruction": True, "squared": True, "tokens": True, "errors": True}
    for chosen in (None, ids):
        agree(device, "average_difference", x, few, restore_ids, keep=4, patch=8, token_ids=chosen, **wanted)
        for a, b in zip(*(vars(reference.average_difference(x, given, restore_ids, keep=4, patch=8, token_ids=chosen,
                                                            **wanted)).values() for given in (few, every)),
                        strict=True):  # fmt: skip
            np.testing.assert_array_equal(a, b)


def test_predictions_that_fit_no_tokens_are_named():
    x, restore_ids = slices(1, 32, 24), masks(1, 1, 12, 4)[1]
    for tokens in (4, 11, 13):
        with pytest.raises(ValueError, match="predictions must be of every token, or of the hidden ones"):
            kernels.average_difference(x, predictions(1, tokens, 8, "float32"), restore_ids, keep=4, patch=8)
    with pytest.raises(ValueError, match="restore_ids must be from 0 to 11, not 12"):
        kernels.average_difference(x, predictions(1, 8, 8, "float32"), restore_ids + 1, keep=4, patch=8)


def test_average_difference_is_the_papers():
    x, predicted, restore_ids = slices(1, 8, 8), predictions(2, 4, 4, "float32"), masks(1, 2, 4, 1)[1]
    pasted = np.where(restore_ids[:, :, None] < 1, reference.patchify(x, patch=4), predicted)
    mean = reference._from_patches(pasted.mean(axis=0, keepdims=True), x.shape)
    found = kernels.average_difference(x, predicted, restore_ids, keep=1, patch=4, reconstruction=True, errors=True)
    np.testing.assert_allclose(found.reconstruction, mean, atol=1e-6)
    np.testing.assert_allclose(found.difference[:, 0], np.abs(x - mean), atol=1e-6)
    np.testing.assert_allclose(
        [found.mse[0], found.mae[0]], [((x - mean) ** 2).mean(), np.abs(x - mean).mean()], 1e-5
    )


def test_what_is_seen_everywhere_differs_by_zero():
    x, restore_ids = slices(1, 8, 8), masks(1, 1, 4, 4)[1]
    predicted = np.full((1, 4, 16), np.nan, np.float32)
    found = kernels.average_difference(x, predicted, restore_ids, keep=4, patch=4, reconstruction=True)
    assert not found.difference.any() and (found.reconstruction == x).all()


@pytest.mark.parametrize("shape", [(2, 9, 7), (1, 64, 64), (3, 5, 33)])
def test_pseudo_abnormal(device, shape):
    b = shape[0]
    boxes = np.array([[[1, 2, 3, 4], [0, 0, 0, 3], [2, 1, 9, 3], [-2, -1, 4, 3]]] * b, np.int32)
    factors = np.random.default_rng(0).random((b, 4)).astype(np.float32)
    agree(device, "pseudo_abnormal", slices(*shape), boxes, factors)
    agree(device, "pseudo_abnormal", slices(*shape), boxes, slices(*shape, seed=3))
    agree(device, "pseudo_abnormal", slices(*shape), boxes[:, :0], factors[:, :0])


@pytest.mark.parametrize("shape", [(2, 7, 7), (1, 40, 45), (2, 64, 33)])
def test_ssim(device, shape):
    agree(device, "ssim", slices(*shape), slices(*shape, seed=1), tolerance=1e-6)
    agree(device, "ssim", slices(*shape), strided(slices(*shape, seed=1)), tolerance=1e-6, data_range=1.0)


def test_ssim_is_scikit_images():
    x = slices(1, 64, 48)
    y = x + slices(1, 64, 48, seed=4) * 0.1
    wanted = structural_similarity(x[0].astype(float), y[0].astype(float), data_range=2.0)
    assert abs(kernels.ssim(x, y)[0] - wanted) < 1e-6


@pytest.mark.parametrize("voxel", ["int16", "uint16", "uint8", "float32"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_extract_slices(device, voxel, dtype):
    volume = np.random.default_rng(0).integers(0, 250, (2, 21, 35)).astype(voxel)
    if device == "cuda" and voxel == "uint16":
        pytest.skip("torch has no uint16 arithmetic to make the input with")
    rows, cols = kernels.resample_taps(21, 17), kernels.resample_taps(35, 40)
    options = {"scale": 0.01, "offset": -0.5, "background": 3.0, "low": -0.25, "high": 1.5, "dtype": dtype}
    agree(device, "extract_slices", volume, rows, cols, **options)
    agree(device, "extract_slices", volume, rows, cols, **{**options, "background": None})
    agree(device, "extract_slices", strided(volume), rows, cols, **options)
    agree(device, "extract_slices", volume, rows, cols, **options, ripple=0.4, floor=-0.75)


@pytest.mark.parametrize("passes", [1, 2])
def test_slices_may_have_strides(device, passes):
    x, (keep_ids, restore_ids) = slices(2, 16, 24), masks(2, passes, 6, 2)
    agree(device, "patchify_visible", strided(x), keep_ids, patch=8)
    predicted = predictions(2 * passes, 6, 8, "float32")
    agree(device, "average_difference", strided(x), predicted, restore_ids, keep=2, patch=8, reconstruction=True)
    agree(device, "pseudo_abnormal", strided(x), np.ones((2, 1, 4), np.int32), np.zeros((2, 1), np.float32))


@pytest.mark.parametrize("patch", [4, 12])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rows_of_a_patch_may_be_no_16_bytes(device, patch, dtype):
    """Of floats they are, of 16 bits they are not."""
    x, (keep_ids, restore_ids) = slices(2, 2 * patch, 3 * patch), masks(2, 2, 6, 2)
    agree(device, "patchify_visible", x, keep_ids, patch=patch, dtype=dtype)
    predicted = predictions(4, 6, patch, dtype)
    agree(device, "average_difference", x, predicted, restore_ids, keep=2, patch=patch, tokens=True, errors=True)


@pytest.mark.parametrize("width", [28, 29, 30, 31])
def test_rows_may_be_a_part_of_longer_ones(device, width):
    """Each begins where 16 bytes can be read at once, and ends where they cannot."""
    view = slices(3, 16, 32)[:, :, :width]
    agree(device, "pseudo_abnormal", view, np.full((3, 1, 4), 5, np.int32), np.full((3, 1), 2, np.float32))
