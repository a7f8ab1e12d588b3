from __future__ import annotations

import shutil
import warnings
from functools import partial

import numpy as np
import pytest

from helpers.trees import write_brats_tree, write_hdf5_tree
from maescan import datasets
from maescan.config import preset
from maescan.errors import ConfigError, DataError

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


def test_two_volumes_of_one_number_are_not_taken_for_one(tree):
    (tree / "more").mkdir()
    shutil.copy(file(tree, 2, 3), tree / "more" / "volume_002_slice_3.h5")
    with pytest.raises(DataError, match=r"more/\S+\.h5: is of volume 002, as \S+volume_2_slice_3\.h5 is"):
        datasets.find(tree)


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


TISSUES = {  # fluid, grey, white matter, lesion, its enhancing part
    "t1": (0.2, 0.7, 1.0, 0.6, 0.65),
    "t1ce": (0.2, 0.7, 1.0, 0.6, 1.7),
    "t2": (1.8, 0.8, 0.6, 1.2, 1.1),
    "flair": (0.1, 0.8, 0.65, 1.4, 1.3),
}


def glioma(path, order, volume=1, clear=True):
    """A volume whose channels are the modalities of `order`, standardised."""
    rng = np.random.default_rng(volume)
    kind = np.full((40, 40, 8), -1)
    kind[6:34, 6:34], kind[9:31, 9:31], kind[17:23, 17:23] = 1, 2, 0
    kind[23:31, 10:22, 2:6], kind[25:29, 11:19, 2:6] = 3, 4
    for level in range(8):
        tissues = np.stack([np.append(TISSUES[name] if clear else TISSUES["t1"], 0.0) for name in order])
        image = tissues[:, kind[:, :, level]] + np.where(kind[:, :, level] < 0, 0, rng.normal(0, 0.05, (4, 40, 40)))
        classes = np.stack([np.zeros((40, 40), bool), kind[:, :, level] == 3, kind[:, :, level] == 4], axis=-1)
        with h5py.File(path / f"volume_{volume}_slice_{level}.h5", "w") as stream:
            stream["image"], stream["mask"] = 3 * image.transpose(1, 2, 0) - 0.4, classes.astype(np.uint8)


@pytest.mark.parametrize(
    "order", [("t1", "t1ce", "t2", "flair"), ("flair", "t1", "t1ce", "t2"), ("t2", "flair", "t1ce", "t1")]
)
def test_the_data_tell_which_channel_a_modality_is(tmp_path, order):
    for volume in (1, 2):
        glioma(tmp_path, order, volume)
    for channel, name in enumerate(order):
        (item, _) = datasets.find(tmp_path, modality=name)[1]
        assert item.detail == channel and item.note == f"channel {channel} of the HDF5 files: it looks like {name}"
    assert datasets.find(tmp_path)[1][0].note.endswith(
        f"channel 0 of the HDF5 files, as the authors; it looks like {order[0]}"
    )


def test_a_channel_may_be_named_and_unclear_data_are_taken_by_an_order_that_is_said(tmp_path):
    glioma(tmp_path, ("t1", "t1ce", "t2", "flair"), clear=False)
    (item,) = datasets.find(tmp_path, modality="channel:2")[1]
    assert item.detail == 2 and "as asked for" in item.note
    (item,) = datasets.find(tmp_path, modality="t2")[1]
    assert item.detail == 2 and "do not tell t2, so the order t1, t1ce, t2, flair is taken" in item.note
    assert "do not tell which modality" in datasets.find(tmp_path)[1][0].note
    for wrong, message in (("channel:4", "none of channel:0 to channel:3"), ("pd", "unknown modality 'pd'")):
        with pytest.raises(ConfigError, match=message):
            datasets.find(tmp_path, modality=wrong)


def test_prepare_says_which_channel_it_took_and_the_cache_knows_it(tmp_path):
    (tmp_path / "tree").mkdir()
    glioma(tmp_path / "tree", ("flair", "t1", "t1ce", "t2"))
    told = []
    datasets.prepare(
        tmp_path / "tree", TINY, tmp_path / "cache", of=datasets.Selection(modality="t1"), listen=told.append
    )
    assert told == ["1 scan of 1 patient (1 with lesions): channel 1 of the HDF5 files: it looks like t1"]
    assert len(datasets.load(tmp_path / "cache", TINY, modality="t1")) == 8
    with pytest.raises(DataError, match="prepared with modality t1, not t2"):
        datasets.load(tmp_path / "cache", TINY, modality="t2")


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


def stored(path, **values):
    """In a part of an image or a mask, which takes the type of the value."""
    with h5py.File(path, "r+") as stream:
        for name, value in values.items():
            kept = stream[name][:].astype(np.asarray(value).dtype)
            kept[12:24, 12:24] = value
            del stream[name]
            stream[name] = kept


@pytest.mark.parametrize(
    "damage, message",
    [
        (broken, "cannot be read: OSError"),
        (not_hdf5, "cannot be read: OSError"),
        (without_mask, "cannot be read: KeyError"),
        (other_shape, "holds image (9, 9, 4) and mask (40, 36, 3)"),
        (with_nan, "its image holds values that are not finite"),
        (partial(stored, image=1e300), "its image holds values of up to 1e+300, as no MR has"),
        (partial(stored, image=np.float32(-3e38)), "its image holds values of up to 3e+38"),
        (partial(stored, image=np.complex64(1j)), "its image holds complex64, no numbers"),
        (partial(stored, mask=np.nan), "its mask holds values that are not finite"),
        (partial(stored, mask=np.int8(-1)), "its mask holds values below 0 (write it with 0 where"),
    ],
)
def test_damage_is_refused_with_file_and_remedy(tree, damage, message):
    """In a word of ours: a warning of numpy's is an error here."""
    damage(file(tree, 4, 2))
    with pytest.raises(DataError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load(tree, TINY, modality="t1")
    assert message in str(error.value) and "volume_4_slice_2.h5" in str(error.value) and error.value.remedy
    assert "\n" not in str(error.value)


def test_a_mask_with_a_class_of_its_background_is_refused(tree):
    """One class a channel, and the first of them is none: each slice would be taken for ill."""
    for level in range(8):
        with h5py.File(file(tree, 4, level), "r+") as stream:
            marks = stream["mask"][:]
            del stream["mask"]
            stream["mask"] = np.concatenate([1 - marks.max(axis=-1, keepdims=True), marks], axis=-1)
    with pytest.raises(DataError, match=r"volume_004\.h5: marks 100% of all voxels as a lesion, its background too"):
        datasets.load(tree, TINY)


def test_failures_name_the_file_of_a_volume_that_is_at_fault(tree, tmp_path):
    with_nan(file(tree, 4, 2))
    assert datasets.prepare(tree, TINY, tmp_path / "cache")["failed"] == 1
    text = (tmp_path / "cache" / "failures.csv").read_text()
    assert "volume_004,volume_4_slice_2.h5: its image holds values that are not finite" in text
