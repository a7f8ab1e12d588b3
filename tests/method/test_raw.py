"""Raw slices of several scans in one batch: the same slices as each scan's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.method.preprocess import prepare, raw_slices
from maescan.method.raw import MOST_BYTES, MOST_COLUMNS, RawSlices, gathered
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


def test_single_slices_of_several_scans_together():
    raw = [raw_slices(scan(side, 5), TINY) for side in (40, 33)]
    images = [each.extracted() for each in raw]
    picked = [(0, 4), (0, 1), (1, 3), (0, 2), (0, 3)]
    wanted = np.stack([images[which][index] for which, index in picked])
    together = gathered([(raw[which], index) for which, index in picked])
    assert isinstance(together, RawSlices) and [len(part) for part in together.parts] == [2, 1, 2]
    assert np.array_equal(together.extracted(), wanted)
    assert np.array_equal(gathered([((raw, images)[which][which], index) for which, index in picked]), wanted)


def test_packed_voxels_lie_side_by_side():
    raw = raw_slices(scan(40, 5), TINY)
    packed = raw.packed()
    assert not raw.parts[0].voxels.flags.c_contiguous and packed.parts[0].voxels.flags.c_contiguous
    assert np.array_equal(packed.extracted(), raw.extracted()) and packed.nbytes == raw.nbytes == 5 * 40 * 46 * 2


def test_what_a_place_has_no_room_for_does_not_go_up():
    """Blocks of the kernel keep 8 rows in shared memory, 48 KB."""
    assert 8 * 4 * MOST_COLUMNS == 48 * 1024
    (part,) = raw_slices(scan(40, 2), TINY).parts
    sizes = {(600, MOST_COLUMNS): True, (600, MOST_COLUMNS + 1): False, (MOST_COLUMNS + 1, 600): True,
             (MOST_BYTES // 1024 + 1, 1024): False}  # fmt: skip
    for size, fits in sizes.items():
        wide = replace(part, voxels=np.zeros((2, *size), np.uint8))
        assert RawSlices((part, wide)).for_devices == fits, size
