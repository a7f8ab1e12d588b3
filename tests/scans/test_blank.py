import dataclasses
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from maescan.config import PRESETS
from maescan.method.gate import admit
from maescan.method.preprocess import prepare
from maescan.scans import read_scan
from maescan.scans.blank import blank_slices, without_blanks
from maescan.scans.scan import missing_slices


def head(shape: tuple[int, int, int] = (40, 44, 30)) -> np.ndarray:
    """A ball of noisy tissue in air without noise, some of which every slice in the middle of each axis shows."""
    at = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, side) for side in shape), indexing="ij"))
    noise = np.random.default_rng(0).integers(300, 600, shape)
    return np.where((at**2).sum(axis=0) < 1, noise, 0).astype(np.int16)


def saved(path: Path, voxels: np.ndarray) -> Path:
    nib.Nifti1Image(voxels, np.diag([4.0, 4.0, 5.0, 1.0])).to_filename(path)
    return path


@pytest.mark.parametrize("value", [0, 600, 32767])
@pytest.mark.parametrize("axis", range(3))
def test_a_slice_of_one_value_amid_others_is_missing(tmp_path: Path, axis: int, value: int) -> None:
    voxels = head()
    np.moveaxis(voxels, axis, 0)[15] = value
    scan = read_scan(saved(tmp_path / "scan.nii", voxels))
    assert scan.meta["blank"][axis] == [15] and sum(map(len, scan.meta["blank"])) == 1
    assert scan.warnings[-1] == "incomplete: 1 slice amid others holds one value alone"
    assert scan.voxels.max() == 599  # a value of none of its voxels would move what counts as air
    assert missing_slices(scan) == ((15,) if axis == 2 else ())
    through = "1 missing slice of another plane runs through all of its axial slices"
    assert admit(scan, PRESETS["tiny-fast"]) == ("" if axis == 2 else through)


def test_blank_slices_are_not_scored(tmp_path: Path) -> None:
    voxels = head()
    voxels[:, :, [12, 14]] = 32767
    scan = read_scan(saved(tmp_path / "scan.nii", voxels[:, :, ::-1]))
    prepared = prepare(scan, PRESETS["tiny-fast"])
    assert prepared.notes == ("what is missing is not scored: slices 15, 17",)
    assert prepared.area[[15, 17]].tolist() == [0, 0] and prepared.area[16] > 0


def test_air_around_a_head_and_beside_a_stray_island_is_not_missing() -> None:
    voxels = np.zeros((40, 44, 60), np.int16)
    voxels[:, :, 15:45] = head()
    voxels[16:18, 16:18, 2] = 500
    assert not any(blank_slices(voxels, axis) for axis in range(3))
    assert not any(blank_slices(np.full_like(voxels, 7), axis) for axis in range(3))


def test_slices_that_are_known_to_be_missing_are_told_once(tmp_path: Path) -> None:
    voxels = head()
    voxels[:, :, [12, 14]] = 0
    scan = read_scan(saved(tmp_path / "whole.nii", head()))
    known = dataclasses.replace(scan, voxels=voxels, meta={"missing": [12, 14]})
    assert without_blanks(known) is known
    some = without_blanks(dataclasses.replace(known, meta={"missing": [12]}))
    assert some.meta["blank"][2] == [14] and missing_slices(some) == (12, 14)
