from __future__ import annotations

import nibabel
import numpy as np
import pytest

from helpers.scan_files import write_series
from maescan import datasets
from maescan.config import preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import DataError, ScanError
from maescan.scans.find import Found
from maescan.scans.source import ScanSource

TINY = preset("tiny")
SHAPE = (48, 40, 8)


@pytest.fixture
def tree(tmp_path):
    write_phantom(tmp_path / "tree", healthy=2, lesions=2, seed=1, look=Look(shape=SHAPE))
    return tmp_path / "tree"


def write_labels(tree, *lines, columns="scan,slice,label"):
    (tree / "labels.csv").write_text("\n".join([columns, *lines]) + "\n")


def test_scans_without_labels_are_healthy(tree):
    slices = datasets.load(tree / "healthy", TINY)
    assert slices.images.shape == (16, 64, 64) and not slices.label.any() and slices.mask is None
    assert slices.slice.tolist() == [*range(8)] * 2 and slices.split is None
    assert sorted(set(slices.patient)) == ["brain_0000.nii.gz", "brain_0001.nii.gz"]


def test_masks_label_their_slices_and_scans_without_one_are_healthy(tree):
    labelled = datasets.load(tree, TINY)
    (tree / "labels.csv").unlink()
    slices = datasets.load(tree, TINY)
    assert np.array_equal(slices.label, labelled.label) and set(slices.label) == {0, 1}
    healthy = np.char.startswith(slices.patient, "healthy/")
    assert not slices.mask[healthy].any() and slices.mask.shape == slices.images.shape
    assert np.array_equal(slices.mask.any(axis=(1, 2)), slices.label == 1)


def test_a_mask_lies_on_its_lesion(tree):
    """The mask is stored flipped as its scan is, and comes out where the difference to the healthy twin is."""
    from maescan.datasets.phantom import make_phantom, write_scan

    (tree / "labels.csv").unlink()
    twin = make_phantom("brain", 2, 1, ill=False, shape=SHAPE)
    write_scan(tree / "twin" / "brain.nii.gz", twin.voxels, twin.affine)
    ill, healthy = (datasets.load(tree, TINY).select(np.arange(a, a + 8)) for a in (16, 32))
    assert ill.patient[0] == "lesions/brain_0002.nii.gz" and healthy.patient[0] == "twin/brain.nii.gz"
    changed = np.abs(ill.images - healthy.images)
    assert changed[ill.mask].mean() > 3 * changed[~ill.mask].mean()


def test_masks_are_found_by_path_and_by_name_whatever_their_format(tree):
    (tree / "labels.csv").unlink()
    before = datasets.load(tree, TINY)
    for mask in (tree / "masks").iterdir():
        image = nibabel.load(mask)
        (tree / "masks" / "lesions").mkdir(exist_ok=True)
        nibabel.save(image, tree / "masks" / "lesions" / mask.name.replace(".nii.gz", ".nii"))
        mask.unlink()
    assert np.array_equal(datasets.load(tree, TINY).mask, before.mask)
    (tree / "masks" / "lesions").rename(tree / "lesions" / "masks")
    assert np.array_equal(datasets.load(tree, TINY).mask, before.mask)


def test_labels_of_whole_scans(tree):
    write_labels(tree, "healthy/brain_0000.nii.gz,0", "lesions/brain_0003.nii.gz,1", columns="scan,label")
    slices = datasets.load(tree, TINY)
    assert slices.label.tolist() == [0] * 8 + [-1] * 16 + [1] * 8


def test_slices_that_no_label_names_are_unknown(tree):
    write_labels(tree, "healthy/brain_0000.nii.gz,3,1", "healthy/brain_0000.nii.gz,0,0")
    assert datasets.load(tree, TINY).label.tolist()[:8] == [0, -1, -1, 1, -1, -1, -1, -1]


def test_a_scan_said_to_be_ill_without_a_mask_has_no_masks_at_all(tree):
    (tree / "masks" / "brain_0003.nii.gz").unlink()
    assert datasets.load(tree, TINY).mask is None


def empty(tree):
    return tree.parent / "nothing"


def no_such(tree):
    (tree / "x").mkdir()
    return tree / "x"


def wrong_mask(tree):
    file = tree / "masks" / "brain_0002.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((48, 40, 7), np.uint8), nibabel.load(file).affine), file)
    return tree


def mask_elsewhere(tree):
    file = tree / "masks" / "brain_0002.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), np.diag([3.0, 3, 3, 1])), file)
    return tree


def mask_below_zero(tree):
    file = tree / "masks" / "brain_0002.nii.gz"
    image = nibabel.load(file)
    nibabel.save(nibabel.Nifti1Image(-np.asarray(image.dataobj).astype(np.int16), image.affine), file)
    return tree


def mask_of_all_else(tree):
    file = tree / "masks" / "brain_0002.nii.gz"
    image = nibabel.load(file)
    nibabel.save(nibabel.Nifti1Image((np.asarray(image.dataobj) == 0).astype(np.uint8), image.affine), file)
    return tree


def mask_of_all_but_two_spots(tree):
    file, marks = tree / "masks" / "brain_0002.nii.gz", np.ones(SHAPE, np.uint8)
    marks[20, 20, [1, 6]] = 0  # whole slices between them hold 1 alone
    nibabel.save(nibabel.Nifti1Image(marks, nibabel.load(file).affine), file)
    return tree


def second_mask(tree):
    nibabel.save(nibabel.load(tree / "masks" / "brain_0002.nii.gz"), tree / "masks" / "brain_0002.nii")
    return tree


def ct(tree):
    voxels = np.random.default_rng(0).integers(-1000, 400, SHAPE).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([3.0, 3, 3, 1])), tree / "healthy" / "ct.nii.gz")
    (tree / "labels.csv").unlink()
    return tree


def stray_mask(tree):
    (tree / "masks" / "brain_0002.nii.gz").rename(tree / "masks" / "other.nii.gz")
    return tree


def with_labels(*lines, columns="scan,slice,label"):
    def change(tree):
        write_labels(tree, *lines, columns=columns)
        return tree

    return change


SCAN = "healthy/brain_0000.nii.gz"


@pytest.mark.parametrize(
    "change, message",
    [
        (empty, "nothing: does not exist (give a folder of scans)"),
        (no_such, "x: no scans found (NIfTI, DICOM, MetaImage, NRRD, MGH and MINC are read; see docs/formats.md)"),
        (wrong_mask, "brain_0002.nii.gz: has 48 x 40 x 7 voxels, its scan 48 x 40 x 8 (draw it on the scan's own"),
        (mask_elsewhere, "brain_0002.nii.gz: lies elsewhere than its scan (another affine) (draw it on"),
        (mask_below_zero, "masks/brain_0002.nii.gz: has values below 0 and none over it"),
        (mask_of_all_else, "of all voxels as a lesion, its background too (write it with 0 where there is no lesion"),
        (mask_of_all_but_two_spots, "brain_0002.nii.gz: marks 100% of all voxels as a lesion, its background too"),
        (second_mask, "is a second mask of lesions/brain_0002.nii.gz, beside "),
        (ct, "ct.nii.gz: its values are Hounsfield units, preset 'tiny' is for MR (leave it out: `score` gives no"),
        (stray_mask, "other.nii.gz: is the mask of no scan (give it its scan's path, below masks/: masks/"),
        (with_labels(f"{SCAN},8,1"), "brain_0000.nii.gz: labels.csv names slice 8, it has 8 (slices count from 0"),
        (with_labels("brain.nii.gz,0,1"), "labels.csv: line 2 names brain.nii.gz, which is not there (scans"),
        (
            with_labels(f"{SCAN},0,1", f"{SCAN},1,yes"),
            "labels.csv: line 3: is no label: `label` is 'yes' (its first line is scan,slice,label or scan,label,"
            " with commas; a label is 0 (healthy) or 1 (with a lesion), a slice a number from 0",
        ),
        (with_labels(f"{SCAN},-1,1"), "labels.csv: line 2: is no label: `slice` is '-1' (its first line is"),
        (with_labels(f"{SCAN},,0"), "labels.csv: line 2: is no label: `slice` is empty (its first line is"),
        (with_labels(f"{SCAN},3,"), "labels.csv: line 2: is no label: `label` is empty (its first line is"),
        (with_labels(",3,1"), "labels.csv: line 2: is no label: `scan` is empty (its first line is"),
        (
            with_labels(f"{SCAN},1,1", f"{SCAN},0,0", f"{SCAN},1,0"),
            f"labels.csv: line 4 calls {SCAN} 0, a line before it 1 (leave one of the two lines)",
        ),
        (
            with_labels("0,1", columns="slice,label"),
            "labels.csv: lacks the column scan",
        ),
        (with_labels(), "labels.csv: holds no label"),
    ],
)
def test_bad_input_is_refused_in_one_line_with_file_and_remedy(tree, change, message):
    with pytest.raises(DataError) as error:
        datasets.load(change(tree), TINY)
    assert message in str(error.value) and "\n" not in str(error.value) and error.value.remedy


ILL, MASK = "lesions/brain_0002.nii.gz", "masks/brain_0002.nii.gz"


def test_healthy_slices_in_which_the_mask_marks_a_lesion_are_refused(tree):
    marked = np.flatnonzero(np.asanyarray(nibabel.load(tree / MASK).dataobj).any(axis=(0, 1)))
    slices = datasets.load(tree, TINY)
    ill = np.flatnonzero(slices.label[slices.patient == ILL])
    assert len(ill) == len(marked) > 1
    write_labels(tree, f"{ILL},{ill[0]},1", f"{ILL},{ill[1]},0", f"{SCAN},1,0")
    with pytest.raises(
        DataError, match=rf"{MASK}: marks a lesion in slice {ill[1]} of {ILL}, which labels.csv calls"
    ):
        datasets.load(tree, TINY)
    write_labels(tree, f"{ILL},0", columns="scan,label")
    more = f" and {len(ill) - 1} more"
    with pytest.raises(DataError, match=rf"slice {ill[0]}{more} of {ILL}.* \(label it 1 in labels\.csv, or mend"):
        datasets.load(tree, TINY)


def test_an_ill_scan_may_have_slices_without_a_mark_but_no_empty_mask(tree):
    write_labels(tree, f"{ILL},1", f"{SCAN},0", "healthy/brain_0001.nii.gz,0", columns="scan,label")
    slices = datasets.load(tree, TINY)
    assert slices.label[slices.patient == ILL].all() and not slices.mask[slices.patient == ILL].any(axis=(1, 2)).all()
    image = nibabel.load(tree / MASK)
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, np.uint8), image.affine), tree / MASK)
    with pytest.raises(
        DataError, match=rf"{MASK}: is empty, and labels\.csv calls slice 0 of {ILL} abnormal \(label"
    ):
        datasets.load(tree, TINY)
    write_labels(tree, f"{ILL},0", columns="scan,label")
    assert not datasets.load(tree, TINY).label[16:24].any()


def test_without_healthy_slices_there_is_nothing_to_train_on(tree):
    write_labels(tree, f"{SCAN},1", columns="scan,label")
    with pytest.raises(DataError, match="no healthy slices"):
        datasets.load(tree, TINY).healthy()


def test_a_folder_that_could_not_be_searched_says_so_and_blames_no_label(tree, monkeypatch):
    """A search that was ended for time or memory knows none of the scans that labels.csv names."""
    (tree / "labels.csv").write_text("scan,label\nhealthy/brain_0000.nii.gz,0\n")
    fault = ScanError("reading took over 600 s", path=tree)
    lost = [ScanSource(".", tree, "unknown", (tree,), fault=fault)]
    monkeypatch.setattr("maescan.datasets.folder.search_all", lambda paths: Found(lost, []))
    with pytest.raises(ScanError, match="reading took over 600 s"):
        datasets.load(tree, preset("tiny"))


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR", "PIL"])
def test_a_mask_may_be_stored_along_other_axes_than_its_scan(tree, axes):
    before, file = datasets.load(tree, TINY), tree / "masks" / "brain_0002.nii.gz"
    image = nibabel.load(file)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    nibabel.save(image.as_reoriented(turn), file)
    assert datasets.load(tree, TINY).fingerprint() == before.fingerprint()


def test_a_mask_that_fits_stays_as_it_is_stored(tree):
    """Turned by 45 degrees, two tools' roundings of one affine lie on either side of where axes change places."""
    for folder, angle in (("lesions", np.pi / 4 - 1e-6), ("masks", np.pi / 4 + 1e-6)):
        file = tree / folder / "brain_0002.nii.gz"
        turn, image = np.eye(4), nibabel.load(file)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), turn @ np.diag([3.0, 3, 3, 1])), file)
    assert (datasets.load(tree, TINY).label == 1).any()


def test_failures_tell_a_mask_from_its_scan_of_the_same_name(tree, tmp_path):
    mask_elsewhere(tree)
    assert datasets.prepare(tree, TINY, tmp_path / "cache")["failed"] == 1
    text = (tmp_path / "cache" / "failures.csv").read_text()
    assert f"{ILL},{MASK}: lies elsewhere than its scan" in text


def test_a_mask_of_no_scan_is_told_the_path_of_the_scan_that_is_called_most_alike(tmp_path):
    """As nnU-Net's, whose scans have their channel's number in their names."""
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4))
    for name in ("imagesTr/case_001_0000", "imagesTr/case_010_0000", "masks/case_001"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    with pytest.raises(DataError, match=r"masks/imagesTr/case_001_0000.nii.gz is of imagesTr/case_001_0000.nii.gz"):
        datasets.find(tmp_path)
    write_series(tmp_path / "case_001")
    with pytest.raises(DataError, match=r"case_001.nii.gz: .*masks/case_001/3.nii.gz is of case_001/3\)"):
        datasets.find(tmp_path)


def test_one_line_says_what_of_the_folder_is_not_used(tree):
    """Scans of kinds that are not read, columns of labels.csv, and contrasts: each is somebody's mistake."""
    for name in ("b.mif", "c.PAR"):
        (tree / "healthy" / name).write_bytes(b"x" * 400)
    (tree / "healthy" / "brain_0000.nii.gz").rename(tree / "healthy" / "0_T1.nii.gz")
    (tree / "healthy" / "brain_0001.nii.gz").rename(tree / "healthy" / "0_FLAIR.nii.gz")
    write_labels(tree, "healthy/0_T1.nii.gz,0,test,7", columns="scan,label,Split, age")
    assert datasets.find(tree)[1][0].note == (
        "labels of labels.csv, lesions of masks/; several contrasts by their names (1 flair, 1 t1), where a model"
        " is of one; scans of kinds that are not read: healthy/b.mif and 1 more; columns of labels.csv that are not"
        " read: Split, age"
    )
