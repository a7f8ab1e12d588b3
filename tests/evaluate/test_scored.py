"""Scores of a labelled set."""

import numpy as np
import pytest

from helpers.labelled import TINY, labelled_slices
from helpers.stubs import StubEngine
from maescan.errors import DataError
from maescan.evaluate.pixels import PixelCounts
from maescan.evaluate.scored import score_set
from maescan.method.heat import mapped_slices
from maescan.method.score import score_slices
from maescan.method.tokens import not_air


def test_nan_scores_are_refused_with_the_slice(tmp_path):
    class Broken(StubEngine):
        def classify(self, tokens, token_ids):
            return np.where(np.arange(len(tokens)) == 3, np.nan, 0.5).astype(np.float32)

    with pytest.raises(DataError, match="2 of 48 scores are NaN or infinite, the first that of slice 3 of p0"):
        score_set(labelled_slices(), Broken(), TINY)


def test_pixels_are_judged_on_the_map_that_is_shown():
    slices = labelled_slices()
    images, brain = np.asarray(slices.images, np.float32), not_air(slices.images) | slices.mask
    shown, raw = (
        made(images, slices.keys, StubEngine(), TINY, **maps).difference
        for made, maps in ((mapped_slices, {}), (score_slices, {"maps": True}))
    )
    wanted, other = PixelCounts(), PixelCounts()
    wanted.add(shown, slices.mask, within=brain)
    other.add(raw, slices.mask, within=brain)
    found = score_set(slices, StubEngine(), TINY).pixels.heat
    assert np.array_equal(found.lesion, wanted.lesion) and np.array_equal(found.normal, wanted.normal)
    assert not np.array_equal(found.lesion, other.lesion)
