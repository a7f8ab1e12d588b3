"""LUNA16's patches."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from helpers.trees import bright_voxel, write_candidates_tree
from maescan import datasets, scans
from maescan.config import preset
from maescan.datasets import luna16
from maescan.errors import ConfigError, DataError

LUNA = preset("luna16")


@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("up", [1, -1])
def test_a_patch_lies_around_its_candidate(tmp_path, flips, up):
    affine = np.diag([flips[0] * 0.7, flips[1] * 0.7, up * 2.5, 1.0])
    affine[:3, 3] = [-12.5, 40.0, 7.0]
    world = (affine @ [45, 50, 2, 1])[:3] * [-1, -1, 1] + 0.3  # a part of a voxel beside
    slices = datasets.load(write_candidates_tree(tmp_path, bright_voxel((45, 50, 2)), affine, [(*world, 1)]), LUNA)
    assert slices.images.shape == (1, 64, 64) and np.argwhere(slices.images[0] > 0).tolist() == [[32, 32]]
    assert slices.images[0, 32, 32] == pytest.approx(20.0) and slices.images[0, 0, 0] == pytest.approx(-10.0)


def test_columns_run_from_the_patients_right_and_beside_the_ct_is_air(tmp_path):
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # index 0 is the most anterior and the rightmost
    luna16_tree = write_candidates_tree(tmp_path, bright_voxel((3, 20, 1)), affine, [(13, 20, 1, 0), (3, 0, 1, 0)])
    slices = datasets.load(luna16_tree, LUNA)
    assert np.argwhere(slices.images[0] > 0).tolist() == [[32, 22]]
    assert (slices.images[0, :, :19] == np.float32(-10.24)).all() and slices.images[0, 32, 19] == -10
    assert (slices.images[1, :32] == np.float32(-10.24)).all() and slices.images[1, 32, 32] == -10


def test_a_ct_is_opened_once_for_all_its_patches(luna16_tree, monkeypatch):
    opened = []
    monkeypatch.setattr(luna16, "read_member", lambda source: opened.append(source.name) or scans.read_scan(source))
    slices = datasets.load(luna16_tree, LUNA)
    assert len(opened) == len(set(opened)) == 6 < len(slices)


def test_a_cache_of_patches(luna16_tree, tmp_path):
    datasets.prepare(luna16_tree, LUNA, tmp_path)
    slices, mapped = datasets.load(luna16_tree, LUNA), datasets.load(tmp_path, LUNA)
    for name in ("patient", "slice", "label", "split"):
        assert np.array_equal(getattr(slices, name), getattr(mapped, name)), name
    assert np.allclose(slices.images, mapped.images[:], atol=0.01)


def test_a_tree_without_its_cts_and_other_presets_are_refused(tmp_path, luna16_tree):
    (tmp_path / "candidates.csv").write_text((luna16_tree / "candidates.csv").read_text())
    with pytest.raises(DataError, match=r"there is no \.mhd of any series"):
        datasets.load(tmp_path, LUNA)
    (tmp_path / "candidates.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="lacks the column seriesuid"):
        datasets.load(tmp_path, LUNA)
    for other in (preset("tiny"), LUNA.replace(grid__field_mm=300.0)):
        with pytest.raises(ConfigError, match="is of whole slices, these are patches of CTs"):
            datasets.load(luna16_tree, other)


def test_whole_slices_are_no_patches(luna16_tree, tmp_path):
    """`score` cuts patches at a CT's own resolution: whole slices are not what such a model sees."""
    folder, cache = tmp_path / "scans", tmp_path / "cache"
    shutil.copytree(luna16_tree / "subset0", folder)
    for use in (datasets.load, lambda path, preset: datasets.prepare(path, preset, tmp_path / "out")):
        with pytest.raises(ConfigError, match=r"no table says around which places") as error:
            use(folder, LUNA)
        assert "candidates.csv" in error.value.remedy and not (tmp_path / "out").exists()
    whole = LUNA.replace(grid__field_mm=300.0)
    assert len(datasets.load(folder, whole)) == 6 * 12
    datasets.prepare(luna16_tree, LUNA, cache)
    facts = (cache / "cache.json").read_text()
    (cache / "cache.json").write_text(facts.replace('"luna16"', '"folder"'))  # as made before that was refused
    with pytest.raises(ConfigError, match="no table says"):
        datasets.load(cache, LUNA)


def test_what_table_and_cts_have_not_in_common_is_said(luna16_tree, tmp_path):
    tree = shutil.copytree(luna16_tree, tmp_path / "tree")
    assert datasets.load(tree, LUNA).taken.endswith("LUNA16, patches and labels of candidates.csv")
    lines = (tree / "candidates.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("1.2.826.0.1.0.2,")]
    (tree / "candidates.csv").write_text("\n".join([*kept, "9.9,0,0,0,0", "9.8,0,0,0,1"]) + "\n")
    taken = datasets.load(tree, LUNA).taken
    assert taken.endswith("candidates.csv, series without a CT: 2, CTs without a row: 1")
    row, label = kept[1].rsplit(",", 1)
    (tree / "candidates.csv").write_text("\n".join([*lines, *[f"{row},{1 - int(label)}"] * 2]) + "\n")
    taken = datasets.load(tree, LUNA).taken
    assert taken.endswith("candidates.csv, places with rows of class 0 and of class 1: 1, rows that come twice: 1")
    (tree / "candidates.csv").write_text("\n".join([*lines, *lines[1:4]]) + "\n")
    assert datasets.load(tree, LUNA).taken.endswith("candidates.csv, rows that come twice: 3")


def test_a_ct_that_is_not_in_hounsfield_units_is_not_learnt_from(tmp_path):
    tree = write_candidates_tree(tmp_path, bright_voxel((45, 50, 2)) + 1024, np.eye(4), [(-45, -50, 2, 0)])
    with pytest.raises(DataError, match="not Hounsfield units, preset 'luna16' is for CT"):
        datasets.load(tree, LUNA)


def test_lung_masks_are_no_cts_and_a_series_is_there_once(luna16_tree, tmp_path):
    """The release has them in seg-lungs-LUNA16, under the CTs' names."""
    luna16_tree = shutil.copytree(luna16_tree, tmp_path / "tree")
    wanted = datasets.load(luna16_tree, LUNA).images
    ct = next(luna16_tree.rglob("*.mhd"))
    for folder in ("seg-lungs-LUNA16", "again"):
        (luna16_tree / folder).mkdir()
        for file in (ct, *ct.parent.glob(f"{ct.stem}.*raw")):
            (luna16_tree / folder / file.name).write_bytes(file.read_bytes())
        if folder == "again":
            with pytest.raises(DataError, match="is there twice"):
                datasets.load(luna16_tree, LUNA)
        else:
            assert np.array_equal(datasets.load(luna16_tree, LUNA).images, wanted)
