"""Any shape, any stride, any thread count, any size of memory: the twin's answer, to the bit."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.kernel_cases import DTYPES, agree, masks, predictions, same, slices, strided, token_ids
from maescan import kernels
from maescan.kernels import reference

any_shape = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
small = st.integers(1, 5)


@any_shape
@given(
    b=st.integers(1, 3), passes=small, patch=st.integers(1, 18), rows=small, columns=small,
    dtype=st.sampled_from(DTYPES),
    gaps=st.booleans(),
    chosen=st.floats(0, 1),
    kept=st.floats(0, 1),
    whole=st.booleans(),
)  # fmt: skip
def test_masks_patches_and_differences(device, b, passes, patch, rows, columns, dtype, gaps, chosen, kept, whole):
    cells = rows * columns
    tokens = cells if whole else max(1, int(chosen * cells))
    keep, ids = max(1, int(kept * tokens)), None if whole else token_ids(b, cells, tokens)
    x = (strided if gaps else np.asarray)(slices(b, rows * patch, columns * patch))
    agree(device, "make_masks", np.arange(b), seed=1, passes=passes, tokens=tokens, keep=keep)
    keep_ids, restore_ids = masks(b, passes, tokens, keep)
    agree(device, "patchify_visible", x, keep_ids, ids, patch=patch, dtype=dtype)
    options = {"keep": keep, "patch": patch, "token_ids": ids}
    options |= dict.fromkeys(("reconstruction", "squared", "tokens", "errors"), True)
    agree(device, "average_difference", x, predictions(b * passes, tokens, patch, dtype), restore_ids, **options)


@any_shape
@given(
    b=st.integers(1, 3), sizes=st.tuples(*[st.integers(1, 40)] * 4), start=st.floats(-9, 9), step=st.floats(0.2, 5),
    voxel=st.sampled_from(["int16", "uint8", "float32"]), gaps=st.booleans(),
    air=st.tuples(*[st.integers(0, 40)] * 4),
)  # fmt: skip
def test_extraction(device, b, sizes, start, step, voxel, gaps, air):
    """Of slices with air on every side, perhaps over all of them."""
    h, w, rows, columns = sizes
    volume = np.random.default_rng(0).integers(0, 99, (b, h, w)).astype(voxel)
    above, below, left, right = air
    volume[0, :above] = volume[0, max(0, h - below) :] = volume[0, :, :left] = volume[0, :, max(0, w - right) :] = 7
    volume = strided(volume) if gaps else volume
    taps = kernels.resample_taps(h, rows, start=start, step=step), kernels.resample_taps(w, columns)
    agree(device, "extract_slices", volume, *taps, scale=0.1, offset=-1.0, background=7.0, low=0.0, high=5.0)


@any_shape
@given(b=st.integers(1, 3), h=st.integers(7, 40), w=st.integers(7, 40), boxes=st.integers(0, 4), pixel=st.booleans())
def test_boxes_and_ssim(device, b, h, w, boxes, pixel):
    where = np.random.default_rng(h).integers(-5, 40, (b, boxes, 4)).astype(np.int32)
    factors = slices(b, h, w, seed=2) if pixel else slices(b, boxes, 1, seed=2)[:, :, 0].copy()
    agree(device, "pseudo_abnormal", slices(b, h, w), where, factors)
    agree(device, "ssim", slices(b, h, w), slices(b, h, w, seed=1), tolerance=1e-6)


def _everything() -> list[np.ndarray]:
    x, (keep_ids, restore_ids) = (
        slices(5, 48, 64),
        kernels.make_masks(np.arange(5), seed=1, passes=3, tokens=12, keep=3),
    )
    found = kernels.average_difference(
        x, predictions(15, 12, 16, "float16"), restore_ids, keep=3, patch=16, reconstruction=True, errors=True
    )
    taps = kernels.resample_taps(48, 40), kernels.resample_taps(64, 50)
    options = {"scale": 1.0, "offset": 0.0, "background": None, "low": -9.0, "high": 9.0}
    altered = kernels.pseudo_abnormal(x, np.full((5, 2, 4), 9, np.int32), slices(5, 2, 1)[:, :, 0].copy())
    score = kernels.ssim(x, found.reconstruction)
    made = [found.difference, found.reconstruction, found.mse, found.mae, altered, score]
    return [keep_ids, restore_ids, *made, kernels.patchify(x, patch=8), kernels.extract_slices(x, *taps, **options)]


@pytest.fixture
def any_threads():
    yield kernels.set_threads
    kernels.set_threads(None)


@pytest.mark.parametrize("threads", [2, 7])
def test_threads_do_not_change_a_bit(any_threads, threads):
    any_threads(1)
    alone = _everything()
    any_threads(threads)
    for a, b in zip(_everything(), alone, strict=True):
        same(a, b)


@pytest.mark.parametrize("offset", [0, 4])
def test_outputs_larger_than_the_caches(device, offset):
    """They are written around the caches where they are aligned."""
    x, predicted, restore_ids = slices(17, 256, 256), predictions(17, 256, 16, "float16"), masks(17, 1, 256, 64)[1]
    out = np.empty(x.size + 32, np.float32)
    start = -out.ctypes.data % 64 // 4 + offset
    out = out[start : start + x.size].reshape(17, 1, 256, 256)
    if device == "cpu":
        kernels.average_difference(x, predicted, restore_ids, keep=64, patch=16, out=out)
        same(out, reference.average_difference(x, predicted, restore_ids, keep=64, patch=16).difference)
    agree(device, "average_difference", x, predicted, restore_ids, keep=64, patch=16)


def _in_child(answers) -> None:
    kernels.set_threads(2)
    answers.put(_everything()[2])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(any_threads):
    any_threads(2)
    wanted = _everything()[2]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_in_child, args=(answers,))
    child.start()
    same(answers.get(timeout=60), wanted)
    child.join(60)
    assert child.exitcode == 0


def test_indices_beyond_32_bits(device, tmp_path: Path):
    """Two slices more than 2^32 elements apart, in a sparse file."""
    if device == "cuda":
        pytest.skip("a sparse file has no counterpart in device memory")
    far = 2**32 + 64
    disk = np.memmap(tmp_path / "sparse", np.uint8, "w+", shape=(far + 64,))
    volume = np.lib.stride_tricks.as_strided(disk, (2, 8, 8), (far, 8, 1))
    (tmp_path / "sparse").unlink()
    volume[...] = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    taps = kernels.resample_taps(8, 5)
    agree(device, "extract_slices", volume, taps, taps, scale=1.0, offset=0.0, background=None, low=0.0, high=255.0)
    wide = np.memmap(tmp_path / "wide", np.float32, "w+", shape=(2**31 + 64,))
    x = np.lib.stride_tricks.as_strided(wide, (2, 8, 8), (4 * 2**31, 32, 4))
    (tmp_path / "wide").unlink()
    x[...] = slices(2, 8, 8)
    agree(device, "patchify", x, patch=4)
    agree(device, "pseudo_abnormal", x, np.full((2, 1, 4), 3, np.int32), np.zeros((2, 1), np.float32))
    same(kernels.ssim(x, x), reference.ssim(np.array(x), np.array(x)))


def test_empty_batches(device):
    x = slices(0, 8, 8)
    agree(device, "make_masks", np.arange(0), seed=1, passes=2, tokens=4, keep=1)
    agree(device, "patchify", x, patch=4)
    found = kernels.average_difference(
        x, predictions(0, 4, 4, "float32"), np.zeros((0, 4), np.int32), keep=1, patch=4, errors=True
    )
    assert found.difference.shape == (0, 1, 8, 8) and found.mse.shape == (0,)
