"""Which samples the classifier learns from, and with which betas it is trained."""

from __future__ import annotations

import numpy as np

from maescan.config import PRESETS
from maescan.train.pairs import training_samples

KEPT, SKIPPED = (PRESETS["tiny"].replace(classifier__altered_blanks=kept) for kept in (True, False))


def images():
    made = np.random.default_rng(0).random((130, 8, 8)).astype(np.float16)
    made[3], made[100] = 0, -0.44
    return made


def test_a_slice_of_one_value_has_no_altered_sample():
    left_out = set(training_samples(images(), KEPT)) - set(training_samples(images(), SKIPPED))
    assert left_out == {6, 200}  # 2 i is slice i altered


def test_samples_are_all_where_blanks_are_altered_too():
    assert np.array_equal(training_samples(images(), KEPT), np.arange(260))
