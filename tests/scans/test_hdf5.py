"""What an HDF5 file keeps in another file is named, and the other file is not opened."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan import datasets
from maescan.errors import DataError, ScanError
from maescan.scans import read_scan
from maescan.scans.hdf5 import kept_elsewhere

h5py = pytest.importorskip("h5py")

VOXELS = "minc-2.0/image/0/image"
SAMPLE = Path(nibabel.__file__).parent / "tests" / "data" / "minc2_1_scale.mnc"


def linked(stream, name, other):
    stream[name] = h5py.ExternalLink(other.with_suffix(".h5"), "/secret")


def stored(stream, name, other):
    stream.create_dataset(name, (10, 20, 20), "u1", external=[(str(other), 0, 4000)])


def virtual(stream, name, other):
    layout = h5py.VirtualLayout((10, 20, 20), "u1")
    layout[:] = h5py.VirtualSource(str(other.with_suffix(".h5")), "secret", (10, 20, 20))
    stream.create_virtual_dataset(name, layout)


def behind_a_link(stream, name, other):
    linked(stream, "away", other)
    stream[name] = h5py.SoftLink("/away")


@pytest.fixture
def other(tmp_path):
    """Files that lie outside the folder of the scan."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(np.random.default_rng(0).integers(0, 255, 4000, np.uint8).tobytes())
    with h5py.File(folder / "secret.h5", "w") as stream:
        stream["secret"] = np.random.default_rng(0).integers(0, 255, (10, 20, 20), np.uint8)
    return folder / "secret"


@pytest.mark.parametrize("away", [linked, stored, virtual, behind_a_link])
def test_parts_in_other_files_are_named(tmp_path, other, away):
    with h5py.File(tmp_path / "a.h5", "w") as stream:
        stream["own/voxels"] = np.zeros((4, 4))
        stream["alias"] = h5py.SoftLink("/own/voxels")
        assert kept_elsewhere(stream) == ""
        away(stream, "own/image", other)
        assert kept_elsewhere(stream) == ("away" if away is behind_a_link else "own/image")


@pytest.mark.parametrize("away", [linked, stored, virtual, behind_a_link])
def test_a_minc_volume_shows_no_other_file(tmp_path, other, away):
    if not SAMPLE.exists():
        pytest.skip("nibabel was installed without its test files")
    path = tmp_path / "a.mnc"
    path.write_bytes(SAMPLE.read_bytes())
    read_scan(path)
    with h5py.File(path, "r+") as stream:
        attributes = dict(stream[VOXELS].attrs)
        del stream[VOXELS]
        away(stream, VOXELS, other)
        if away in (stored, virtual):
            stream[VOXELS].attrs.update(attributes)
    with pytest.raises(ScanError, match=r"a\.mnc: keeps '.*' in another file \(write it as one file\)"):
        read_scan(path)


def test_a_slice_of_brats_shows_no_other_file(tmp_path, other):
    from maescan.config import preset

    with h5py.File(tmp_path / "volume_1_slice_0.h5", "w") as stream:
        stored(stream, "image", other)
        stream["mask"] = np.zeros((10, 20, 3), np.uint8)
    with pytest.raises(DataError, match=r"volume_1_slice_0\.h5: keeps 'image' in another file"):
        datasets.load(tmp_path, preset("tiny"))
