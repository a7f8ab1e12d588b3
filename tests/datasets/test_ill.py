"""A scan with lesions is not taken for a healthy one where names, labels or masks say what it is."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.scan_files import dicom_slice, save
from maescan import datasets
from maescan.config import preset
from maescan.datasets.ill import refuse_ill, refuse_reference
from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import DataError, ScanError
from maescan.scans.find import survey
from maescan.scoring.options import ScoreOptions

TINY = preset("tiny")


@pytest.fixture
def tree(tmp_path):
    """healthy/ and lesions/, and nothing that says more."""
    write_phantom(tmp_path / "tree", healthy=1, lesions=1, seed=1, look=Look(shape=(48, 40, 8)))
    (tmp_path / "tree" / "labels.csv").rename(tmp_path / "labels.csv")
    (tmp_path / "tree" / "masks").rename(tmp_path / "masks")
    return tmp_path / "tree"


def test_scans_with_lesions_are_not_trained_on_as_healthy(tree):
    with pytest.raises(DataError) as caught:
        datasets.load(tree, TINY)
    assert str(caught.value) == (
        f"{tree}/lesions: is called as a folder of scans with lesions is, and nothing says which of them are healthy"
        f" (give the healthy scans alone, {tree}/healthy, or label all in {tree}/labels.csv)"
    )
    assert not datasets.load(tree / "healthy", TINY).label.any()
    with pytest.raises(DataError, match="lesions: is called as a folder of scans with lesions is"):
        datasets.load(tree / "lesions", TINY)
    (tree.parent / "masks").rename(tree / "masks")
    assert datasets.load(tree, TINY).label.any()
    next((tree / "masks").iterdir()).unlink()
    (tree / "masks" / "brain_0000.nii.gz").write_bytes((tree / "healthy" / "brain_0000.nii.gz").read_bytes())
    with pytest.raises(DataError, match="lesions: is called as a folder of scans with lesions is"):
        datasets.find(tree)  # it has no mask, where others have
    (tree.parent / "labels.csv").rename(tree / "labels.csv")
    datasets.find(tree)


@pytest.mark.parametrize(
    "scans",
    [
        ("train/good/1.nii", "test/crack/2.nii", "test/good/3.nii"),
        ("normal/1.nii", "abnormal/1.nii"),
        ("no/1.nii", "yes/1.nii"),
        ("Controls/a/1.nii", "patients/b/1.nii"),
        ("site/Tumour/1.nii", "site/other/2.nii"),
        ("notumor/1.nii", "pituitary/1.nii"),
        ("HGG/a/1.nii",),
    ],
)
def test_folders_that_say_so(tmp_path, scans):
    with pytest.raises(DataError, match=r"(lies beside|is called as) .* \(give the healthy scans alone"):
        refuse_ill(tmp_path, scans)


@pytest.mark.parametrize(
    "scan",
    ["BraTS-GLI-00001-000-t1n.nii.gz", "BRATS_001.nii.gz", "a/Brats18_2013_1_1_t1.nii", "BraTS2021_00000/t1.nii.gz",
     "UPENN-GBM-00001_11_T1.nii.gz", "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_T1.nii.gz"],
)  # fmt: skip
def test_studies_of_tumours_hold_no_healthy_scans(tmp_path, scan):
    with pytest.raises(DataError, match=r", all of tumours, and nothing says otherwise \(label all in"):
        refuse_ill(tmp_path, ["IXI002-Guys-0828-T1.nii.gz", scan])


@pytest.mark.parametrize(
    "scans",
    [
        ("train/good/1.nii", "test/good/3.nii"),
        ("healthy/1.nii", "healthy-2/1.nii", "controls/1.nii", "train/1.nii"),
        ("a/1.nii", "b/1.nii", "lesion.nii", "lesion-study/c.nii", "vibrats_1.nii"),
        ("healthy.nii", "other.nii", "normalised/1.nii", "noise/1.nii"),
    ],
)
def test_folders_that_do_not(tmp_path, scans):
    refuse_ill(tmp_path, scans)


def refused(path, *patterns):
    """As a calibration with these globs of --include."""
    found, wants = survey([path]), ScoreOptions(include=patterns).wants
    refuse_reference(path, replace(found, sources=[source for source in found.sources if wants(source.name)]), wants)


def test_no_ill_scan_is_a_reference(tree):
    """The scans of a calibration are said to be healthy by whoever gives them, and by what lies beside them."""
    refused(tree / "healthy")
    refused(tree / "healthy" / "brain_0000.nii.gz")
    refused(tree, "healthy/*")
    with pytest.raises(DataError, match="lesions: is called as a folder of scans with lesions is"):
        refused(tree)
    (tree.parent / "masks").rename(tree / "masks")
    with pytest.raises(DataError, match=r"masks/brain_0001\.nii\.gz: is a mask of a lesion"):
        refused(tree)
    (tree.parent / "labels.csv").rename(tree / "labels.csv")
    refused(tree, "healthy/*")
    with pytest.raises(DataError, match=r"labels.csv: calls 'lesions/brain_0001.nii.gz' abnormal \(give a folder of"):
        refused(tree)
    (tree / "labels.csv").write_text("scan,label\nhealthy/brain_0000.nii.gz,0\nlesions/brain_0001.nii.gz,0\n")
    refused(tree)


def write_drawn(file, kind="1.2.840.10008.5.1.4.1.1.66.4"):
    """A DICOM segmentation, or another object of this SOP class."""
    return save(dicom_slice(np.zeros((4, 4), np.uint8), (0, 0, 0), SOPClassUID=kind, Modality="SEG"), file)


@pytest.mark.parametrize("read", [False, True])
def test_masks_that_are_not_read_are_not_left_out_of_account(tree, read):
    """Their scans would be taken for healthy ones."""
    mask = tree.parent / "masks" / "brain_0001.nii.gz"
    drawn = write_drawn(tree / "masks" / "brain_0002.dcm")
    if read:
        mask.rename(tree / "masks" / mask.name)
    else:
        (tree / "lesions").rename(tree / "patients")
        (tree / "healthy").rename(tree / "others")
    told = "lies among masks, and is no scan but a DICOM Segmentation"
    with pytest.raises(DataError, match=rf"brain_0002\.dcm: {told} \(write the mask as NIfTI \(.nii.gz\) on"):
        datasets.find(tree)
    with pytest.raises(DataError, match=r"masks/brain_000\d\..*: is a mask of a lesion"):
        refused(tree)
    refused(tree, "healthy/*" if read else "others/*")
    drawn.unlink()
    (tree / "masks" / "brain_0002.mif").write_text("mrtrix image")
    with pytest.raises(DataError, match=r"brain_0002\.mif: lies among masks, and is an MRtrix image: convert it"):
        datasets.find(tree)


@pytest.mark.parametrize("name", ["brain_0000", "brain_0000.png", "healthy/brain_0000.nii.gz.part"])
def test_what_is_called_as_a_scan_among_masks_is_its_mask(tree, name):
    """Others have one that is read."""
    (tree.parent / "masks").rename(tree / "masks")
    (tree / "masks" / "README.md").write_text("drawn by two")
    datasets.find(tree)
    (tree / "masks" / name).parent.mkdir(exist_ok=True)
    (tree / "masks" / name).write_bytes(b"PNG")
    with pytest.raises(DataError, match=rf"masks/{name}: lies among masks, and is no scan \(write the mask as NIfTI"):
        datasets.find(tree)


@pytest.mark.parametrize("name", ["masks/a.png", "masks/.hidden", "Labels/brain.png", "annotations/a.xml"])
def test_a_folder_of_masks_of_which_none_is_read_does_not_make_scans_healthy(tree, name):
    healthy = tree / "healthy"
    (healthy / name).parent.mkdir()
    (healthy / name).write_text("")
    with pytest.raises(DataError, match=r"healthy/\w+: holds no mask that is read.*or label all in .*labels\.csv"):
        datasets.find(healthy)
    (healthy / "labels.csv").write_text("scan,label\nbrain_0000.nii.gz,0\n")
    datasets.find(healthy)


def test_the_labels_of_freesurfer_mark_parcels(tree):
    healthy = tree / "healthy"
    (healthy / "sub-01" / "label").mkdir(parents=True)
    (healthy / "sub-01" / "label" / "lh.cortex.label").write_text("")
    datasets.find(healthy)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("1.2.840.10008.5.1.4.1.1.66.4", "Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RT Structure Set"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "object of modality SEG"),
    ],
)
def test_what_is_drawn_beside_scans_is_not_left_out_of_account(tree, kind, told):
    healthy = tree / "healthy"
    write_drawn(healthy / "seg.dcm", kind)
    with pytest.raises(DataError, match=rf"seg\.dcm: is no scan but a DICOM {told}: what it is drawn on may not be"):
        datasets.find(healthy)
    (healthy / "labels.csv").write_text("scan,label\nbrain_0000.nii.gz,0\n")
    datasets.find(healthy)
    (healthy / "labels.csv").unlink()
    write_drawn(healthy / "seg.dcm", "1.2.840.10008.5.1.4.1.1.88.11")  # a report
    datasets.find(healthy)


@pytest.mark.parametrize("inside", [False, True])
def test_a_zip_is_a_folder_of_scans_too(tree, tmp_path, inside):
    folder = tmp_path / "given"
    folder.mkdir()
    packed = Path(shutil.make_archive(str(folder / "study"), "zip", tree))
    given = folder if inside else packed
    remedy = rf"\(unpack {packed} and give the healthy scans alone\)"
    with pytest.raises(
        DataError, match=f"^{packed}/lesions: is called as a folder of scans with lesions is.*{remedy}"
    ):
        refused(given)
    refused(given, "study.zip/healthy/*")
    packed.rename(folder / "lesions.zip")
    with pytest.raises(DataError, match=r"lesions\.zip.*: is called as a folder of scans with lesions is"):
        refused(folder if inside else folder / "lesions.zip", "*/healthy/*")
    if inside:
        (folder / "labels.csv").write_text("scan,label\nlesions.zip/lesions/brain_0001.nii.gz,1\n")
        with pytest.raises(DataError, match=r"labels.csv: calls 'lesions.zip/lesions/brain_0001.nii.gz' abnormal"):
            refused(folder)


def test_folders_without_scans_say_nothing_of_a_reference(tree):
    (tree / "lesions" / "brain_0001.nii.gz").unlink()
    (tree / "lesions" / "notes.txt").write_text("none")
    (tree / "scripts").mkdir()
    (tree / "scripts" / "a.py").write_text("")
    refused(tree)


def test_a_link_is_called_as_it_is_typed_where_that_says_something(tmp_path):
    for name in ("tumor", "data"):
        (tmp_path / name).mkdir()
    for name, target in (("healthy_controls", "tumor"), ("input", "tumor"), ("lesions", "data"), ("b", "data")):
        (tmp_path / name).symlink_to(tmp_path / target)
    refuse_ill(tmp_path / "healthy_controls", ["a.nii"])
    refuse_ill(tmp_path / "b", ["a.nii"])
    for name in ("input", "lesions"):
        with pytest.raises(DataError, match="is called as a folder of scans with lesions"):
            refuse_ill(tmp_path / name, ["a.nii"])


@pytest.mark.parametrize("sealed", ["masks", "masks/a", "lesions", "healthy"])
@pytest.mark.parametrize("labels", [True, False])
def test_a_folder_below_that_may_not_be_searched_is_named_where_labels_depend_on_it(
    tree, monkeypatch, sealed, labels
):
    """Masks were said to be of no scan, or to be none, and with labels.csv a set was judged without its masks."""
    (tree.parent / "masks").rename(tree / "masks")
    (tree / "masks" / "a").mkdir()
    if labels:
        (tree.parent / "labels.csv").rename(tree / "labels.csv")
    scandir = os.scandir

    def denied(path):
        if os.fspath(path) == str(tree / sealed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    monkeypatch.setattr("maescan.datasets.folder.search_all", survey)
    with pytest.raises(ScanError, match=f"{sealed}: is a folder that cannot be searched"):
        datasets.load(tree, TINY)
