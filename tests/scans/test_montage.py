"""The picture of scans: slices the right way round, numbers beside them, nobody else's file written over."""

from __future__ import annotations

import os

import numpy as np
import pytest

from helpers.scan_files import write_nifti
from maescan.errors import DataError
from maescan.scans import read_scan
from maescan.scans.montage import TILE, TILES, Montage, check_picture, png, tiles_of


def test_the_patients_right_is_on_the_left_and_slices_go_up(tmp_path):
    values = np.zeros((20, 40, 60), np.int16)
    values[15:, :, 30:] = 1000  # RAS: the upper quarter of the patient's right half
    montage = Montage()
    montage.add(tiles_of(read_scan(write_nifti(tmp_path / "a.nii", values))))
    tiles = montage.lines[0].reshape(TILE, TILES, TILE).swapaxes(0, 1)[:, 20:, 20:]
    assert tiles[0].max() == 0 and tiles[-1, :, :40].max() == 255
    assert tiles[-1, :, 50:].max() == 0


def test_png_is_what_it_should_be(tmp_path):
    image = pytest.importorskip("skimage.io")
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    (tmp_path / "g.png").write_bytes(png(grey))
    assert np.array_equal(image.imread(tmp_path / "g.png"), grey)


def test_tiles_keep_a_scans_proportions(tmp_path):
    """Of voxels of 0.5 x 1.5 mm, 40 columns are as wide as 13.3 rows are high."""
    tiles = tiles_of(read_scan(write_nifti(tmp_path / "a.nii", np.full((9, 20, 40), 7, np.int16) + _steps())))
    assert tiles.shape == (TILES, TILE, TILE)
    rows, columns = (np.flatnonzero(tiles[3].max(axis=axis)) for axis in (1, 0))
    assert (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(20 * 1.5 / (40 * 0.5), abs=0.1)


def _steps():
    return np.arange(9 * 20 * 40, dtype=np.int16).reshape(9, 20, 40) % 11 + 1


def test_lines_are_numbered_and_an_empty_one_is_a_number_alone(tmp_path):
    montage = Montage()
    for _ in range(10):
        montage.add(None)
    assert [bool(line.any()) for line in montage.lines] == [True] * 10
    assert not np.array_equal(montage.lines[0], montage.lines[1])
    assert montage.lines[9].sum() > montage.lines[0].sum(), "10 has two digits"
    assert not montage.lines[0][20:].any() and not montage.lines[0][:, 30:].any()
    montage.write(tmp_path / "m.png")
    check_picture(tmp_path / "m.png")
    (tmp_path / "m.png").write_bytes(png(montage.lines[0]).replace(b"maescan", b"another"))
    with pytest.raises(DataError, match="maescan did not write it"):
        montage.write(tmp_path / "m.png")


@pytest.mark.parametrize("kind", ["pipe", "link to nowhere", "folder"])
def test_what_is_no_file_is_refused_and_left_alone(kind, tmp_path):
    path = tmp_path / "m.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    before = path.lstat()
    with pytest.raises(DataError, match="use another --picture"):
        check_picture(path)
    assert path.lstat() == before
