from __future__ import annotations

import numpy as np
import pytest

from helpers.stubs import StubEngine
from maescan.config import PRESETS, preset
from maescan.method.heat import even_out, full_scale, level_values, levels, units
from maescan.method.score import score_slices


def test_levels_keep_the_order_and_cover_twice_the_full_scale():
    values = np.sort(np.random.default_rng(0).random(1000)).astype(np.float32) * 5
    found = levels(values, 2.0).astype(int)
    assert (np.diff(found) >= 0).all() and found[-1] == 255 and levels(np.zeros(1), 2.0)[0] == 0
    assert np.array_equal(levels(level_values(2.0), 2.0), np.arange(256))


@pytest.mark.parametrize(
    ("name", "intensities", "full", "said"),
    [
        ("tiny", "percentile", 1.0, "of intensities 0 to 2"),
        ("luna16", "hu", 4.0, "hundreds of HU"),
        ("tiny", "zscore", 2.0, "standard deviations"),
        ("tiny", "none", 2.0, "as the scan's values"),
        ("tiny+", "percentile", 1.0, "probability"),
    ],
)
def test_the_full_colour_is_half_the_range_400_hu_2_deviations_or_certainty(name, intensities, full, said):
    chosen = PRESETS[name].replace(intensity__method=intensities)
    assert (full_scale(chosen), units(chosen)) == (full, said)


@pytest.mark.parametrize("name", ["tiny", "tiny-fg"])
def test_maps_are_as_if_every_token_were_hidden_as_often(name):
    """An MAE that predicts nothing: a map is the image, wherever a mask hid it, times how often."""
    tiny = preset(name)
    images = np.zeros((6, 64, 64), np.float32)
    images[:, 8:56, 8:56] = 1 + np.random.default_rng(0).random((6, 48, 48), np.float32)
    ids = np.arange(6, dtype=np.uint64)
    raw = score_slices(images, ids, StubEngine(), tiny, maps=True).difference
    even = even_out(raw, images, ids, tiny)
    known = raw > 0
    assert np.allclose(even[known], tiny.masks.ratio * images[known], rtol=1e-5)
    assert not np.allclose(raw[known], tiny.masks.ratio * images[known], rtol=1e-2)
    # of a token that no mask hid nothing is known; it is like those around it
    hole = (images > 0) & ~known
    inside = np.zeros_like(hole)
    inside[:, 16:48, 16:48] = True
    assert hole.any() and (even[hole & inside] > 0.5 * tiny.masks.ratio).all()


def test_a_slice_is_evened_out_alike_in_any_batch():
    tiny = preset("tiny")
    images = np.random.default_rng(0).random((5, 64, 64)).astype(np.float32)
    ids = np.arange(5, dtype=np.uint64)
    raw = score_slices(images, ids, StubEngine(), tiny, maps=True).difference
    whole = even_out(raw, images, ids, tiny)
    for i in range(5):
        part = slice(i, i + 1)
        assert np.array_equal(even_out(raw[part], images[part], ids[part], tiny), whole[part])


@pytest.mark.parametrize("changes", [{"masks__strategy": "complementary"}, {"masks__paste": False}])
def test_what_has_no_pattern_is_left_alone(changes):
    maps = np.ones((1, 64, 64), np.float32)
    assert even_out(maps, maps, [0], preset("tiny").replace(**changes)) is maps
