"""Tables of candidates."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from helpers.trees import bright_voxel, write_candidates_tree
from maescan import datasets
from maescan.config import preset
from maescan.datasets import luna16_table
from maescan.errors import ConfigError, DataError
from maescan.method import candidates

LUNA = preset("luna16")


def test_rows_are_split_in_the_papers_shares_and_nodules_are_never_trained_on(luna16_tree):
    slices = datasets.load(luna16_tree, LUNA)
    rows = candidates.read_candidates(luna16_tree / "candidates.csv")
    assert np.array_equal(slices.label, rows.label[slices.slice]) and slices.label.sum() == rows.label.sum() > 5
    assert np.array_equal(slices.patient, rows.series[slices.slice]) and len(set(slices.slice)) == len(slices)
    assert set(slices.split[slices.label == 1]) == {"val", "test"} and "train" in slices.split
    assert np.array_equal(datasets.load(luna16_tree, LUNA).split, slices.split)


def test_of_the_whole_list_the_papers_counts_are_drawn():
    label = np.zeros(551_065, np.int8)
    label[:1351] = 1
    parts = luna16_table.draw(label, np.ones(len(label), bool), seed=0)
    assert Counter((part, int(label[row])) for row, part in parts.items()) == {
        ("train", 0): 50_000, ("val", 0): 3_000, ("test", 0): 10_000, ("val", 1): 351, ("test", 1): 1_000,
    }  # fmt: skip


def test_the_authors_rows(luna16_tree, tmp_path):
    rows = candidates.read_candidates(luna16_tree / "candidates.csv")
    ill, well = (np.flatnonzero(rows.label == value) for value in (1, 0))
    (tmp_path / "train.txt").write_text("\n".join(f"{row}.npy" for row in well[:5]))
    (tmp_path / "test.txt").write_text(f"{ill[0]}.npy\n")
    slices = datasets.load(luna16_tree, LUNA, split_dir=tmp_path)
    assert dict(zip(slices.slice, slices.split, strict=True)) == {**dict.fromkeys(well[:5], "train"), ill[0]: "test"}
    (tmp_path / "train.txt").write_text(f"{ill[0]}.npy")
    (tmp_path / "test.txt").unlink()
    with pytest.raises(DataError, match=f"trains on row {ill[0]}, which is a nodule"):
        datasets.load(luna16_tree, LUNA, split_dir=tmp_path)
    (tmp_path / "train.txt").write_text("")
    (tmp_path / "normal_test_samples.txt").write_text(f"{well[0]}.npy\n{ill[0]}.npy\n")
    with pytest.raises(ConfigError, match=r"normal_test_samples.txt: line 2 calls normal what is abnormal"):
        datasets.load(luna16_tree, LUNA, split_dir=tmp_path)


def test_the_second_table_is_read_where_it_is_named_or_the_only_one(tmp_path):
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    write_candidates_tree(
        tmp_path, bright_voxel((3, 20, 1)), affine, [(40, 40, 1, 1), (41, 40, 1, 0)], "candidates_V2.csv"
    )
    assert len(datasets.load(tmp_path, LUNA)) == 2
    with open(tmp_path / "candidates.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([candidates.COLUMNS, *[("1.2.3", 40, 40, 1, 1)] * 3])
    assert len(datasets.load(tmp_path, LUNA)) == 3
    assert len(datasets.load(tmp_path / "candidates_V2.csv", LUNA)) == 2


PLACE = (40, 40, 1, 0)


@pytest.mark.parametrize(
    "places, message",
    [
        ([PLACE, (40, 40, 99, 1)], "1.2.3.mhd: row 1 of the candidates, at 40, 40, 99, lies outside"),
        ([(40, "x", 1, 0)], "line 2: is no candidate: `coordY` is 'x'"),
        ([(40, 40, 1, 2)], "is no candidate: `class` is '2'"),
        ([(40, "nan", 1, 1)], "holds a place that is none"),
        ([(40, 40)], "line 2 has another number of cells"),
    ],
)
def test_bad_candidates_are_refused(tmp_path, places, message):
    luna16_tree = write_candidates_tree(tmp_path, bright_voxel((3, 20, 1)), np.diag([-1.0, -1.0, 1.0, 1.0]), places)
    with pytest.raises(DataError) as error:
        datasets.load(luna16_tree, LUNA)
    assert message in str(error.value) and error.value.remedy
