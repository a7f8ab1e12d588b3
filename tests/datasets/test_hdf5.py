from __future__ import annotations

import numpy as np
import pytest

from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom.trees import write_brats_tree, write_hdf5_tree
from maescan.errors import DataError

h5py = pytest.importorskip("h5py")
TINY = preset("tiny").replace(grid__field_mm=None)
SHAPE = (40, 36, 8)


@pytest.fixture
def tree(tmp_path):
    write_hdf5_tree(tmp_path / "tree" / "content" / "data", patients=6, shape=SHAPE)
    return tmp_path / "tree"


def file(tree, volume, level):
    return tree / "content" / "data" / f"volume_{volume}_slice_{level}.h5"


def test_it_holds_the_same_slices_as_the_nifti_release(tree, tmp_path):
    write_brats_tree(tmp_path / "nifti", patients=6, shape=SHAPE)
    one, two = datasets.load(tree, TINY), datasets.load(tmp_path / "nifti", TINY)
    assert datasets.find(tree)[0] == "brats-hdf5" and one.patient[8] == "volume_002"
    assert np.allclose(one.images, two.images, atol=1e-3) and np.array_equal(one.mask, two.mask)
    for name in ("slice", "label", "split"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert set(one.label) == {0, 1} and set(one.split) == {"train", "val", "test"}


def test_slices_count_as_numbers_and_some_may_be_missing(tmp_path):
    write_hdf5_tree(tmp_path, patients=1, shape=(40, 36, 12))
    whole = datasets.load(tmp_path, TINY)
    (tmp_path / "volume_1_slice_1.h5").unlink()
    slices = datasets.load(tmp_path, TINY)
    assert whole.slice.tolist() == list(range(12)) and slices.slice.tolist() == [0, *range(2, 12)]
    assert np.allclose(slices.images, whole.images[slices.slice], atol=0.1)


def test_the_authors_lists_split_slices(tree, tmp_path):
    (tmp_path / "train.txt").write_text("volume_2_slice_0.npy\n")
    (tmp_path / "test.txt").write_text("volume_6_slice_7.npy\n")
    split = datasets.load(tree, TINY, split_dir=tmp_path).split
    assert np.flatnonzero(split != "").tolist() == [8, 47] and split[[8, 47]].tolist() == ["train", "test"]


def test_the_modality_is_the_channel(tree):
    for level in range(8):
        with h5py.File(file(tree, 1, level), "r+") as stream:
            stream["image"][12:20, 12 : 16 + level, 3] = np.random.default_rng(0).random((8, 4 + level)) + 1
    slices = datasets.find(tree, modality="flair")[1][0].slices(TINY)
    assert (np.diff(slices.area) > 0).all()


def broken(path):
    path.write_bytes(path.read_bytes()[:900])


def not_hdf5(path):
    path.write_text("hello")


def without_mask(path):
    with h5py.File(path, "r+") as stream:
        del stream["mask"]


def other_shape(path):
    with h5py.File(path, "r+") as stream:
        del stream["image"]
        stream["image"] = np.zeros((9, 9, 4))


def with_nan(path):
    with h5py.File(path, "r+") as stream:
        stream["image"][0, 0, 0] = np.nan


@pytest.mark.parametrize(
    "damage, message",
    [
        (broken, "cannot be read: OSError"),
        (not_hdf5, "cannot be read: OSError"),
        (without_mask, "cannot be read: KeyError"),
        (other_shape, "holds image (9, 9, 4) and mask (40, 36, 3)"),
        (with_nan, "not finite"),
    ],
)
def test_damage_is_refused_with_file_and_remedy(tree, damage, message):
    damage(file(tree, 4, 2))
    with pytest.raises(DataError) as error:
        datasets.load(tree, TINY)
    assert message in str(error.value) and "volume_4_slice_2.h5" in str(error.value) and error.value.remedy
    assert "\n" not in str(error.value)
