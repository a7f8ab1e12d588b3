"""What is read of a data set, and what is told of what is not."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel
import numpy as np
import pytest

import maescan
from maescan import datasets
from maescan.config import preset
from maescan.datasets.members import OWN_FILE, read_member, tables_not_read, without_options
from maescan.datasets.phantom import Look, make_phantom, write_phantom, write_scan
from maescan.errors import DataError, ScanError
from maescan.scans import find_scans

TINY = preset("tiny")
SHAPE = (48, 40, 8)


@pytest.fixture
def tree(tmp_path):
    write_phantom(tmp_path / "tree", healthy=1, lesions=1, seed=1, look=Look(shape=SHAPE))
    return tmp_path / "tree"


@pytest.mark.parametrize(
    "place", ["Labels.csv", "labels.tsv", "LABELS.CSV", "label.csv", "labels.xlsx", "healthy/labels.csv"]
)
def test_labels_that_would_not_be_read_are_refused(tree, place):
    """Without labels all scans are healthy: ill ones would be trained on, and nobody told."""
    (tree / "labels.csv").rename(tree / place)
    with pytest.raises(DataError, match=r"is not read: labels are read from labels\.csv .*make .*labels\.csv of it"):
        datasets.load(tree, TINY)
    (tree / "labels.csv").write_bytes((tree / place).read_bytes())
    assert datasets.load(tree, TINY).label.any()


def test_tables_that_are_not_read_are_named(tree):
    for name in ("labels.csv", "notes.txt", "dataset_description.json", "sub-1_task-test_bold.json", "trained.md"):
        (tree / name).write_text("")
    assert tables_not_read(tree) == ""
    for name in ("b.tsv", "a.csv", "healthy/labels.csv", "c.xlsx", "d.ods"):
        (tree / name).write_text("")
    assert tables_not_read(tree) == "; not read for labels or parts: a.csv, b.tsv, c.xlsx and 2 more"


@pytest.mark.parametrize(
    "name", ["participants.tsv", "dataset.json", "splits_final.json", "x/train_split.txt", "val.txt"]
)
def test_tables_of_patients_and_lists_of_parts_are_named_too(tree, name):
    (tree / "x").mkdir()
    (tree / name).write_text("")
    assert tables_not_read(tree) == f"; not read for labels or parts: {name}"


def test_a_label_map_among_scans_is_refused(tree, tmp_path):
    """A segmentation beside its scan, or masks in a folder of another name, would be trained on as healthy scans."""
    scan = make_phantom("brain", 1, 1, ill=False, shape=SHAPE)
    classes = np.digitize(scan.voxels, np.quantile(scan.voxels, [0.6, 0.8])).astype(np.uint8)
    write_scan(
        tree / "healthy" / "parts.nii.gz", np.kron(classes[::4, ::4, ::4], np.ones((4, 4, 4), np.uint8)), scan.affine
    )
    with pytest.raises(DataError, match=r"parts\.nii\.gz: is a label map, no scan \(masks of lesions belong into"):
        datasets.load(tree, TINY)
    told = r"healthy/parts\.nii\.gz: is a label map, no scan \(masks of lesions .*; then prepare again\)"
    with pytest.raises(DataError, match=told):
        datasets.prepare(tree, TINY, tmp_path / "cache")
    (tree / "healthy" / "parts.nii.gz").unlink()
    assert datasets.prepare(tree, TINY, tmp_path / "cache")["failed"] == 0


@pytest.mark.parametrize("folder", ["Masks", "labelsTr", "derivatives/labels", "seg", "ground_truth", "GT"])
def test_what_lies_where_label_maps_do_is_no_scan_whatever_its_values(tree, folder):
    """Soft maps look like scans, empty ones like air."""
    (tree / folder).parent.mkdir(exist_ok=True)
    (tree / "masks").rename(tree / folder)
    with pytest.raises(DataError, match=r"is a label map by its name, no scan \(masks of lesions"):
        datasets.find(tree)


def rename(tree, name):
    (tree / "labels.csv").unlink(missing_ok=True)
    (tree / "healthy" / "brain_0000.nii.gz").rename(tree / "healthy" / f"{name}.nii.gz")


@pytest.mark.parametrize(
    "name",
    ["seg", "brain_seg", "a.seg", "T1w_label-lesion_mask", "a.probseg", "T1-LABEL", "1_mask2", "a_gt", "aparc+aseg"],
)
def test_what_is_called_as_a_label_map_is_no_scan(tree, name):
    rename(tree, name)
    with pytest.raises(DataError, match=r"is a label map by its name, no scan \("):
        datasets.find(tree)


@pytest.mark.parametrize(
    "name", ["T1_masked", "labelled", "maskell", "segment_1", "sub-01_acq-mask_T1w", "brainmask", "heroi"]
)
def test_a_scan_may_have_such_a_word_in_its_name(tree, name):
    rename(tree, name)
    assert f"healthy/{name}.nii.gz" in {item.name for item in datasets.find(tree)[1]}


def test_no_remedy_names_an_option_that_only_score_has(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9, 2), np.int16), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ScanError) as told:
        read_member(find_scans(tmp_path)[0])
    assert told.value.reason == "holds 2 volumes" and told.value.remedy == OWN_FILE
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.int16), sheared), tmp_path / "a.nii")
    with pytest.raises(ScanError) as told:
        read_member(find_scans(tmp_path)[0])
    assert told.value.remedy == "resample it to right angles"


def test_every_such_remedy_of_a_reader_is_known():
    package = Path(maescan.__file__).parent
    found = [words for file in (package / "scans").rglob("*.py")
             for words in re.findall(r'remedy=f?"([^"]*--(?:accept|volume)[^"]*)"', file.read_text())]  # fmt: skip
    assert len(found) >= 4
    for words in found:
        assert "--" not in without_options(words.replace("{name}", "tilt"))
