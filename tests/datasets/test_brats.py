from __future__ import annotations

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from maescan import datasets
from maescan.config import preset
from maescan.errors import ConfigError, DataError

TINY = preset("tiny").replace(grid__field_mm=240.0)
DATA = os.environ.get("MAESCAN_DATA")


@pytest.fixture
def tree(tmp_path):
    """Six patients; the tumour of patient n is voxel 10, 20 of slice n, in LPS storage as the release has it."""
    for number in range(1, 7):
        name = f"BraTS20_Training_{number:03}"
        folder = tmp_path / "tree" / name
        folder.mkdir(parents=True)
        voxels = np.zeros((32, 32, 8), np.int16)
        voxels[6:26, 6:26] = np.random.default_rng(number).integers(100, 200, (20, 20, 8))
        seg = np.zeros(voxels.shape, np.uint8)
        seg[10, 20, number] = 4
        for suffix, array in {"t1": voxels, "flair": voxels + 500, "seg": seg}.items():
            image = nibabel.Nifti1Image(array, np.diag([-7.0, -7, 7, 1]))
            nibabel.save(image, folder / f"{name}_{suffix}.nii.gz")
    return tmp_path / "tree"


def test_slices_are_labelled_by_the_segmentation(tree):
    slices = datasets.load(tree, TINY)
    assert slices.images.shape == (48, 64, 64) and np.flatnonzero(slices.label).tolist() == [1, 10, 19, 28, 37, 46]
    assert slices.patient[10] == "BraTS20_Training_002" and slices.slice[10] == 2
    rows, columns = np.nonzero(slices.mask[10])
    assert rows.mean() == pytest.approx(40.5, abs=1.5)
    assert columns.mean() == pytest.approx(20.5, abs=1.5)


def test_two_patients_of_one_name_are_not_taken_for_one(tree):
    (tree / "HGG").mkdir()
    shutil.copytree(tree / "BraTS20_Training_003", tree / "HGG" / "BraTS20_Training_003")
    with pytest.raises(DataError, match=r"HGG/\S+_003: is called BraTS20_Training_003, as \S+/tree/\S+_003 is"):
        datasets.find(tree)


def test_patients_may_lie_deeper_and_uncompressed(tree, tmp_path):
    before = datasets.load(tree, TINY)
    (tmp_path / "above" / "MICCAI_BraTS2020_TrainingData").mkdir(parents=True)
    tree.rename(tmp_path / "above" / "MICCAI_BraTS2020_TrainingData" / "data")
    for file in list((tmp_path / "above").rglob("*.nii.gz")):
        nibabel.save(nibabel.load(file), file.with_suffix(""))
        file.unlink()
    after = datasets.load(tmp_path / "above", TINY)
    assert after.fingerprint() == before.fingerprint() and np.array_equal(after.split, before.split)


def test_a_tree_of_links_to_patients_is_one(tree, tmp_path):
    (tmp_path / "links").mkdir()
    for folder in tree.iterdir():
        (tmp_path / "links" / folder.name).symlink_to(folder)
    assert datasets.load(tmp_path / "links", TINY).fingerprint() == datasets.load(tree, TINY).fingerprint()


def test_patients_are_split_by_a_seed_and_never_across_parts(tree):
    slices = datasets.load(tree, TINY, seed=3)
    parts = {patient: set(slices.split[slices.patient == patient]) for patient in set(slices.patient)}
    assert all(len(found) == 1 for found in parts.values()) and set(slices.split) == {"train", "val", "test"}
    assert np.array_equal(datasets.load(tree, TINY, seed=3).split, slices.split)


def test_a_list_that_the_segmentation_contradicts_is_refused_with_its_first_line(tree, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    lines = [f"volume_{v}_slice_{s}.npy" for v in (1, 2) for s in range(8)]
    (lists / "normal_training_samples.txt").write_text("\n".join(lines) + "\n")
    for load in (
        datasets.load,
        lambda path, preset, split_dir: datasets.prepare(
            path, preset, tmp_path / "c", of=datasets.Selection(split_dir=split_dir)
        ),
    ):
        with pytest.raises(ConfigError, match=r"normal_training_samples.txt: line 2 calls normal what is abnormal"):
            load(tree, TINY, split_dir=lists)
    healthy = [line for line in lines if line not in ("volume_1_slice_1.npy", "volume_2_slice_2.npy")]
    (lists / "normal_training_samples.txt").write_text("\n".join(healthy) + "\n")
    (lists / "abnormal_test_samples.txt").write_text("volume_3_slice_3.npy\nvolume_3_slice_4.npy\n")
    with pytest.raises(ConfigError, match=r"abnormal_test_samples.txt: line 2 calls abnormal what is normal"):
        datasets.load(tree, TINY, split_dir=lists)
    (lists / "abnormal_test_samples.txt").write_text("volume_3_slice_3.npy\n")
    split = datasets.load(tree, TINY, split_dir=lists).split
    assert (split == "train").sum() == 14 and np.flatnonzero(split == "test").tolist() == [19]


def test_the_authors_lists_split_slices(tree, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("volume_2_slice_0.npy\nvolume_2_slice_7.npy\n")
    (tmp_path / "lists" / "test.txt").write_text("volume_6_slice_6.npy\n")
    slices = datasets.load(tree, TINY, split_dir=tmp_path / "lists")
    assert [slices.split[i] for i in (8, 15, 46)] == ["train", "train", "test"] and (slices.split != "").sum() == 3


def test_the_modality_is_a_choice(tree):
    with pytest.raises(DataError, match=r"001: has no t2 \(use --modality t1 or flair\)"):
        datasets.load(tree, TINY, modality="t2")
    with pytest.raises(ConfigError, match="unknown modality 'ct'"):
        datasets.load(tree, TINY, modality="ct")
    assert len(datasets.load(tree, TINY, modality="flair")) == 48


@pytest.mark.parametrize(("modality", "other", "taken"), [(None, "flair", "t1"), ("flair", "t1", "flair")])
def test_one_line_says_which_modality_was_taken(tree, modality, other, taken):
    told = []
    datasets.load(tree, TINY, modality=modality, listen=told.append)
    assert told == [
        f"6 scans of 6 patients (6 with lesions): BraTS, {taken}"
        f" (--modality {other} would take another), labels of seg"
    ]


def test_a_modality_of_a_plain_folder_is_refused(tree):
    for folder in tree.iterdir():
        for file in folder.iterdir():
            file.rename(folder / file.name[-8:])
    with pytest.raises(ConfigError, match="--modality is for BraTS2020"):
        datasets.load(tree, TINY, modality="t1")


@pytest.mark.skipif(not DATA, reason="MAESCAN_DATA is not set")
def test_real_patients():
    slices = datasets.load(Path(DATA, "brats"), TINY, modality="t1ce")
    assert len(slices) == 465 and slices.split is None and 0.2 < (slices.label == 1).mean() < 0.6
    tissue = slices.images > 0.04
    assert tissue[slices.mask].mean() > 0.97  # tumours lie in the brain


def test_a_segmentation_by_another_name_is_one(tree):
    """Patient 355's in the public edition; without it no patient's mask was kept."""
    wanted = datasets.load(tree, TINY)
    folder = tree / "BraTS20_Training_003"
    (folder / f"{folder.name}_seg.nii.gz").rename(folder / "W39_1998.09.19_Segm.nii.gz")
    found = datasets.load(tree, TINY)
    assert np.array_equal(found.label, wanted.label) and np.array_equal(found.mask, wanted.mask)


@pytest.fixture
def later(tree):
    """The same files by the names of 2023 and after; every second one is the next visit of the patient before it."""
    for folder in list(tree.iterdir()):
        number = int(folder.name[-3:]) - 1
        name = f"BraTS-GLI-{number // 2:05}-10{number % 2}"
        for file in list(folder.iterdir()):
            modality = {"t1": "t1n", "flair": "t2f", "seg": "seg"}[file.name[21:].removesuffix(".nii.gz")]
            file.rename(folder / f"{name}-{modality}.nii.gz")
        folder.rename(tree / name)
    return tree


def test_names_since_2023_are_read_as_those_of_before(later):
    slices = datasets.load(later, TINY)
    assert slices.taken.startswith("6 scans of 3 patients (6 with lesions): BraTS, t1 (--modality flair")
    assert np.flatnonzero(slices.label).tolist() == [1, 10, 19, 28, 37, 46]
    assert datasets.load(later, TINY, modality="t2f").taken.startswith(
        "6 scans of 3 patients (6 with lesions): BraTS, flair"
    )
    for seg in later.rglob("*-seg.nii.gz"):
        seg.unlink()  # as in the challenge's validation data: nobody is healthy for that
    bare = datasets.load(later, TINY)
    assert (bare.label == -1).all() and bare.taken.endswith("another), no seg, so no labels")


def test_visits_of_one_patient_are_in_one_part(later):
    for number in range(3, 6):
        for visit in (0, 1):
            name = f"BraTS-GLI-{number:05}-10{visit}"
            shutil.copytree(later / "BraTS-GLI-00000-100", later / name)
            for file in list((later / name).iterdir()):
                file.rename(later / name / file.name.replace("BraTS-GLI-00000-100", name))
    for seed in range(3):
        parts = dict[str, set]()
        for item in datasets.find(later, seed=seed)[1]:
            parts.setdefault(item.name[:-4], set()).add(item.split)
        assert len(parts) == 6 and all(len(part) == 1 for part in parts.values())
        assert set().union(*parts.values()) == {"train", "val", "test"}


def test_lists_of_2020_are_not_taken_for_another_years(later, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("volume_100_slice_1.npy\n")
    with pytest.raises(ConfigError, match=r"is no patient of BraTS2020, which --split-dir is for"):
        datasets.find(later, split_dir=tmp_path / "lists")


def test_scans_of_nobody_in_a_tree_of_brats_are_named(tree):
    shutil.copytree(tree / "BraTS20_Training_001", tree / "more")
    note = datasets.find(tree)[1][0].note
    assert note.endswith("; not taken, as of no patient of BraTS: more/BraTS20_Training_001_flair.nii.gz and 2 more")
