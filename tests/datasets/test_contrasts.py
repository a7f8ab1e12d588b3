"""Modalities told from contrasts; the same on whole trees is in test_hdf5."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan.datasets.contrasts import statistics, tell_modalities

DATA = os.environ.get("MAESCAN_DATA")
#        t2    flair  t1ce   t1
FOUND = [[1.5, 2.2, -0.2, -0.4], [1.2, -0.4, 0.1, 0.0], [0.1, 0.2, 1.9, 0.2]]


def test_each_statistic_tells_two_from_two():
    assert tell_modalities([np.array(FOUND)]) == ("t2", "flair", "t1ce", "t1")
    assert tell_modalities([np.array(FOUND)[:, ::-1]]) == ("t1", "t1ce", "flair", "t2")


@pytest.mark.parametrize("row", range(3))
def test_where_one_is_not_clear_nothing_is_told(row):
    unclear = np.array(FOUND)
    unclear[row] = 0.1
    assert tell_modalities([unclear]) is None
    assert tell_modalities([np.array(FOUND), unclear, np.array(FOUND)]) is not None  # the median of volumes decides


def test_nothing_to_tell_by():
    images, classes = np.zeros((2, 20, 20, 4), np.float32), np.zeros((2, 20, 20, 3), bool)
    assert statistics(images, classes) is None and tell_modalities([]) is None
    assert tell_modalities([np.zeros((3, 2))]) is None


@pytest.mark.skipif(not DATA, reason="MAESCAN_DATA is not set")
def test_real_t1ce_and_flair_differ_as_the_rules_have_it():
    for number in (1, 2, 3):
        folder = Path(DATA or "", "brats", f"BraTS20_Training_00{number}")
        t1ce, flair, seg = (
            np.asarray(nibabel.load(next(folder.glob(f"*_{name}.nii*"))).dataobj)[:, :, ::5].transpose(2, 0, 1)
            for name in ("t1ce", "flair", "seg")
        )
        images, classes = np.stack([t1ce, flair], axis=-1), np.stack([seg == k for k in (1, 2, 3, 4)], axis=-1)
        found = statistics(images.astype(np.float32), classes)
        assert found[0, 1] > found[0, 0] + 0.3 and found[1, 1] < 0 and found[2, 0] > 1.5
