from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from helpers.trees import write_luna16_tree
from maescan import datasets, scans
from maescan.config import preset
from maescan.datasets import luna16, luna16_table
from maescan.datasets.phantom import write_scan
from maescan.errors import ConfigError, DataError
from maescan.method import candidates

LUNA = preset("luna16")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("luna")
    write_luna16_tree(root, patients=6, normals=10)
    return root


def write_tree(root, voxels, affine, places, table="candidates.csv"):
    """One CT, with candidates at `places` (LPS mm, class)."""
    write_scan(root / "subset3" / "1.2.3.mhd", voxels, affine)
    lines = ["seriesuid,coordX,coordY,coordZ,class", *(",".join(map(str, ("1.2.3", *place))) for place in places)]
    (root / table).write_text("\n".join(lines) + "\n")
    return root


def bright(voxel, shape=(100, 90, 6)):
    voxels = np.full(shape, -1000, np.int16)
    voxels[voxel] = 2000
    return voxels


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("up", [1, -1])
def test_a_patch_lies_around_its_candidate(tmp_path, flips, up):
    affine = np.diag([flips[0] * 0.7, flips[1] * 0.7, up * 2.5, 1.0])
    affine[:3, 3] = [-12.5, 40.0, 7.0]
    world = (affine @ [45, 50, 2, 1])[:3] * [-1, -1, 1] + 0.3  # a part of a voxel beside
    slices = datasets.load(write_tree(tmp_path, bright((45, 50, 2)), affine, [(*world, 1)]), LUNA)
    assert slices.images.shape == (1, 64, 64) and np.argwhere(slices.images[0] > 0).tolist() == [[32, 32]]
    assert slices.images[0, 32, 32] == pytest.approx(20.0) and slices.images[0, 0, 0] == pytest.approx(-10.0)


def test_columns_run_from_the_patients_right_and_beside_the_ct_is_air(tmp_path):
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # index 0 is the most anterior and the rightmost
    tree = write_tree(tmp_path, bright((3, 20, 1)), affine, [(13, 20, 1, 0), (3, 0, 1, 0)])
    slices = datasets.load(tree, LUNA)
    assert np.argwhere(slices.images[0] > 0).tolist() == [[32, 22]]
    assert (slices.images[0, :, :19] == np.float32(-10.24)).all() and slices.images[0, 32, 19] == -10
    assert (slices.images[1, :32] == np.float32(-10.24)).all() and slices.images[1, 32, 32] == -10


def test_rows_are_split_in_the_papers_shares_and_nodules_are_never_trained_on(tree):
    slices = datasets.load(tree, LUNA)
    rows = candidates.read_candidates(tree / "candidates.csv")
    assert np.array_equal(slices.label, rows.label[slices.slice]) and slices.label.sum() == rows.label.sum() > 5
    assert np.array_equal(slices.patient, rows.series[slices.slice]) and len(set(slices.slice)) == len(slices)
    assert set(slices.split[slices.label == 1]) == {"val", "test"} and "train" in slices.split
    assert np.array_equal(datasets.load(tree, LUNA).split, slices.split)


def test_of_the_whole_list_the_papers_counts_are_drawn():
    label = np.zeros(551_065, np.int8)
    label[:1351] = 1
    parts = luna16_table.draw(label, np.ones(len(label), bool), seed=0)
    assert Counter((part, int(label[row])) for row, part in parts.items()) == {
        ("train", 0): 50_000, ("val", 0): 3_000, ("test", 0): 10_000, ("val", 1): 351, ("test", 1): 1_000,
    }  # fmt: skip


def test_the_authors_rows(tree, tmp_path):
    rows = candidates.read_candidates(tree / "candidates.csv")
    ill, well = (np.flatnonzero(rows.label == value) for value in (1, 0))
    (tmp_path / "train.txt").write_text("\n".join(f"{row}.npy" for row in well[:5]))
    (tmp_path / "test.txt").write_text(f"{ill[0]}.npy\n")
    slices = datasets.load(tree, LUNA, split_dir=tmp_path)
    assert dict(zip(slices.slice, slices.split, strict=True)) == {**dict.fromkeys(well[:5], "train"), ill[0]: "test"}
    (tmp_path / "train.txt").write_text(f"{ill[0]}.npy")
    (tmp_path / "test.txt").unlink()
    with pytest.raises(DataError, match=f"trains on row {ill[0]}, which is a nodule"):
        datasets.load(tree, LUNA, split_dir=tmp_path)
    (tmp_path / "train.txt").write_text("")
    (tmp_path / "normal_test_samples.txt").write_text(f"{well[0]}.npy\n{ill[0]}.npy\n")
    with pytest.raises(ConfigError, match=r"normal_test_samples.txt: line 2 calls normal, which is abnormal"):
        datasets.load(tree, LUNA, split_dir=tmp_path)


def test_a_ct_is_opened_once_for_all_its_patches(tree, monkeypatch):
    opened = []
    monkeypatch.setattr(luna16, "read_scan", lambda source: opened.append(source.name) or scans.read_scan(source))
    slices = datasets.load(tree, LUNA)
    assert len(opened) == len(set(opened)) == 6 < len(slices)


def test_the_second_table_is_read_where_it_is_named_or_the_only_one(tmp_path):
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    write_tree(tmp_path, bright((3, 20, 1)), affine, [(40, 40, 1, 1), (41, 40, 1, 0)], "candidates_V2.csv")
    assert len(datasets.load(tmp_path, LUNA)) == 2
    with open(tmp_path / "candidates.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([candidates.COLUMNS, *[("1.2.3", 40, 40, 1, 1)] * 3])
    assert len(datasets.load(tmp_path, LUNA)) == 3
    assert len(datasets.load(tmp_path / "candidates_V2.csv", LUNA)) == 2


def test_a_cache_of_patches(tree, tmp_path):
    datasets.prepare(tree, LUNA, tmp_path)
    slices, mapped = datasets.load(tree, LUNA), datasets.load(tmp_path, LUNA)
    for name in ("patient", "slice", "label", "split"):
        assert np.array_equal(getattr(slices, name), getattr(mapped, name)), name
    assert np.allclose(slices.images, mapped.images[:], atol=0.01)


PLACE = (40, 40, 1, 0)


@pytest.mark.parametrize(
    "places, message",
    [
        ([PLACE, (40, 40, 99, 1)], "1.2.3.mhd: row 1 of the candidates lies outside"),
        ([(40, "x", 1, 0)], "holds a line that is no candidate: could not convert"),
        ([(40, 40, 1, 2)], "holds a place or a class that is none"),
        ([(40, "nan", 1, 1)], "holds a place or a class that is none"),
        ([(40, 40)], "holds a line that is no candidate"),
    ],
)
def test_bad_candidates_are_refused(tmp_path, places, message):
    tree = write_tree(tmp_path, bright((3, 20, 1)), np.diag([-1.0, -1.0, 1.0, 1.0]), places)
    with pytest.raises(DataError) as error:
        datasets.load(tree, LUNA)
    assert message in str(error.value) and error.value.remedy


def test_a_tree_without_its_cts_and_other_presets_are_refused(tmp_path, tree):
    (tmp_path / "candidates.csv").write_text((tree / "candidates.csv").read_text())
    with pytest.raises(DataError, match=r"there is no \.mhd of any series"):
        datasets.load(tmp_path, LUNA)
    (tmp_path / "candidates.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="is no table of candidates"):
        datasets.load(tmp_path, LUNA)
    with pytest.raises(ConfigError, match="preset 'tiny' is not in Hounsfield units"):
        datasets.load(tree, preset("tiny"))
