from __future__ import annotations

import numpy as np
import pytest

from maescan.errors import DataError
from maescan.evaluate.ranking import auroc
from maescan.evaluate.within import auroc_by_patient, auroc_within


def test_the_level_of_a_patient_is_no_help_within_patients():
    """The ill patient's slices are all higher; within each patient the score is worthless."""
    rng = np.random.default_rng(0)
    patient, label = (
        np.repeat(["well", "ill"], 400),
        np.concatenate([np.arange(400) % 10 == 0, np.arange(400) % 10 > 0]),
    )
    score = rng.random(800) + (patient == "ill")
    assert auroc(label, score) > 0.8 and abs(auroc_within(label, score, patient).auroc - 0.5) < 0.07


def test_patients_count_alike_and_those_of_one_class_do_not():
    patient, label = np.array(list("aaaabbc")), np.array([0, 0, 0, 1, 0, 1, 1])
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.1, 0.5])
    assert auroc_by_patient(label, score, patient) == {"a": 1.0, "b": 0.0}
    assert auroc_within(label, score, patient) == (within := auroc_within(label, score, patient))
    assert (within.auroc, within.patients) == (0.5, 2)
    with pytest.raises(DataError, match="no patient has both"):
        auroc_within([0, 1], [0.1, 0.2], ["a", "b"])
