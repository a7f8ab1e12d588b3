from __future__ import annotations

from collections import Counter

import pytest

from maescan.datasets.splits import row_split, split_patients, volume_split
from maescan.errors import DataError


def write(folder, **files):
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".txt").write_text(text)
    return folder


def test_369_patients_are_split_as_the_papers():
    parts = split_patients((f"p{i:03}" for i in range(369)), seed=0)
    assert Counter(parts.values()) == {"train": 176, "val": 45, "test": 148}


def test_a_split_is_its_seeds_whatever_the_order():
    names = [f"p{i}" for i in range(20)]
    assert split_patients(names, 1) == split_patients(reversed(names), 1) != split_patients(names, 2)


def test_few_patients_are_not_split():
    assert split_patients(["a", "b", "c", "d"], 0) is None and set(split_patients("abcde", 0).values()) > {"test"}


def test_the_authors_volumes(tmp_path):
    write(
        tmp_path,
        brats__train_normal="volume_1_slice_0.npy\nvolume_1_slice_12.npy\n",
        brats__test__abnormal="abnormal/volume_41_slice_99.npy\n",
        brats__val_split="volume_7_slice_3.npy\n",
        readme="nothing of interest\n",
    )
    expected = {1: {0: ("train", 0), 12: ("train", 0)}, 41: {99: ("test", 1)}, 7: {3: ("val", None)}}
    said = volume_split(tmp_path)
    assert {v: {s: line[:2] for s, line in slices.items()} for v, slices in said.items()} == expected
    assert said[1][12][2:] == (tmp_path / "brats" / "train_normal.txt", 2)


def test_the_authors_rows(tmp_path):
    said = row_split(write(tmp_path, train="12.npy\n4\n", test="7.npy"))
    assert {row: line.part for row, line in said.items()} == {12: "train", 4: "train", 7: "test"}


def test_the_authors_parent_folder_holds_both_sets(tmp_path):
    write(
        tmp_path,
        split__brats__normal_training_samples="volume_1_slice_0.npy\n",
        split__brats__abnormal_test_samples="volume_2_slice_9.npy\n",
        split__luna16__normal_training_samples="12.npy\n",
        split__luna16__abnormal_val_samples="4.npy\n",
    )
    for folder in (tmp_path, tmp_path / "split"):
        assert {v: [line[:2] for line in s.values()] for v, s in volume_split(folder).items()} == {
            1: [("train", 0)],
            2: [("test", 1)],
        }
        assert {row: line[:2] for row, line in row_split(folder).items()} == {12: ("train", 0), 4: ("val", 1)}


@pytest.mark.parametrize(
    "files, reader, message",
    [
        ({}, row_split, "holds no split files"),
        ({"notes": "1.npy"}, row_split, "holds no split files"),
        ({"train": "volume_1_slice_2.npy"}, row_split, "train.txt: 'volume_1_slice_2' is no ROW.npy"),
        ({"train": "5.npy"}, volume_split, "train.txt: '5' is no volume_V_slice_S.npy"),
        ({"train": "5.npy", "val": "5.npy"}, row_split, "val.txt: 5 is in val here and in train in train.txt"),
        (
            {"normal_val": "5.npy", "abnormal_val": "5.npy"},
            row_split,
            "normal_val.txt: 5 is in normal val here and in abnormal val in abnormal_val.txt",
        ),
    ],
)
def test_what_is_no_split_is_refused(tmp_path, files, reader, message):
    with pytest.raises(DataError, match=message):
        reader(write(tmp_path, **files))
