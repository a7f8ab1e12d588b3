"""Raw slices of several scans in one batch: the same slices as each scan's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.method.preprocess import prepare, raw_slices
from maescan.method.raw import RawSlices
from maescan.scans import Scan

TINY = PRESETS["tiny"]


def scan(side, slices, voxel="int16"):
    rng = np.random.default_rng(side)
    voxels = rng.integers(1, 200, (side, side + 6, slices)).astype(voxel)
    voxels[: side // 4] = 0
    return Scan(voxels, 2.0, -3.0, np.diag([1.0, -1.0, 3.0, 1.0]), "a", Path("a.nii"), "nifti")


@pytest.mark.parametrize("method", ["percentile", "hu", "zscore", "standard", "none"])
def test_extracted_they_are_what_preparation_makes(method):
    preset = TINY.replace(intensity__method=method, tokens__method="all")
    one, other = scan(40, 3), scan(33, 4, "uint8")
    both = RawSlices(raw_slices(one, preset).parts + raw_slices(other, preset).parts)
    wanted = np.concatenate([prepare(one, preset).images, prepare(other, preset).images])
    assert both.shape == wanted.shape and len(both) == 7 and both.for_devices == (method != "standard")
    for which in (slice(None), slice(2, 5), np.array([6, 1, 2, 0, 5]), np.array([3])):
        assert np.array_equal(both[which].extracted(), wanted[which])
    assert len(both[5:5]) == 0


def test_a_run_of_slices_is_not_copied():
    raw = raw_slices(scan(40, 6), TINY)
    assert np.shares_memory(raw[1:4].parts[0].voxels, raw.parts[0].voxels)
    assert len(raw[np.array([0, 1, 3])].parts) == 1
