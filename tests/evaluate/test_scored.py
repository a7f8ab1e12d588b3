"""Scores of a labelled set."""

import numpy as np
import pytest

from helpers.labelled import TINY, labelled_slices
from helpers.stubs import StubEngine
from maescan.errors import DataError
from maescan.evaluate.scored import score_set


def test_nan_scores_are_refused_with_the_slice(tmp_path):
    class Broken(StubEngine):
        def classify(self, tokens, token_ids):
            return np.where(np.arange(len(tokens)) == 3, np.nan, 0.5).astype(np.float32)

    with pytest.raises(DataError, match="2 of 48 scores are NaN or infinite, the first that of slice 3 of p0"):
        score_set(labelled_slices(), Broken(), TINY)
