from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans import read_scan
from maescan.scans.memory import as_scan


def test_simpleitk_counts_in_lps_and_z_first():
    sitk = pytest.importorskip("SimpleITK")
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    scan = as_scan(image)
    assert np.array_equal(scan.voxels, voxels) and scan.spacing == (1, 2, 3)
    assert np.allclose(scan.affine, [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    with pytest.raises(ScanError, match="2 values"):
        as_scan(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 2))


def test_values_are_what_nibabel_says_they_are():
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, 5.0)
    scan = as_scan(nibabel.Nifti1Image.from_bytes(image.to_bytes()))
    assert scan.shape == (4, 5, 6) and np.all(scan.voxels * scan.slope + scan.intercept == 7)


def test_a_path_is_not_in_memory():
    assert as_scan("scan.nii.gz") is None


ONES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def stored(tmp_path, image, name="scan.nii"):
    nibabel.save(image, tmp_path / name)
    return tmp_path / name


def nifti(voxels=ONES, affine=None, slope=None, unit="mm", codes=(1, 1)):
    image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(image.affine, codes[0])
    image.set_qform(image.affine, codes[1])
    if slope:
        image.header.set_slope_inter(*slope)
        image = nibabel.Nifti1Image.from_bytes(image.to_bytes())
    return image


@pytest.mark.parametrize(
    "image",
    [
        nifti(),
        nifti(ONES.astype(np.uint8), slope=(0.37, 5.0)),
        nifti(ONES.astype(">i2")),
        nifti(ONES / 7),
        nifti(ONES[..., None]),
        nifti(ONES[0]),
        nifti(affine=np.diag([0.002, 0.002, 0.003, 1.0]), unit="meter"),
        nifti(codes=(0, 0)),
        nibabel.Nifti2Image(ONES, np.eye(4)),
    ],
)
def test_an_image_of_nibabel_is_read_as_its_file_is(tmp_path, image):
    path = stored(tmp_path, image)
    by_path, found = read_scan(path), as_scan(nibabel.load(path))
    assert np.array_equal(found.voxels, by_path.voxels) and found.voxels.dtype == by_path.voxels.dtype
    for name in ("slope", "intercept", "warnings", "placed"):
        assert getattr(found, name) == getattr(by_path, name)
    assert np.array_equal(found.affine, by_path.affine)


def test_an_affine_that_was_changed_since_counts():
    image = nifti(unit="micron")
    image.affine[:] = np.diag([500.0, 500.0, 700.0, 1.0])
    assert as_scan(image).spacing == pytest.approx((0.5, 0.5, 0.7)) and as_scan(image).placed is None


def test_one_volume_of_several_and_a_shear_are_taken_where_that_is_asked():
    sitk = pytest.importorskip("SimpleITK")
    both, affine = np.stack([ONES, ONES + 1], -1), np.diag([1.0, 1.0, 2.0, 1.0])
    item = sitk.GetImageFromArray(ONES.T)
    for image in ((both, affine), nibabel.Nifti1Image(both, affine), sitk.JoinSeries(item, item + 1)):
        with pytest.raises(ScanError, match="holds 2 volumes"):
            as_scan(image)
        assert np.array_equal(as_scan(image, volume=1).voxels, ONES + 1)
    affine[0, 1] = 0.5
    with pytest.raises(ScanError, match="sheared"):
        as_scan((ONES, affine))
    assert as_scan((ONES, affine), accept=frozenset({"shear"})).warnings == ("its axes are sheared by 26.6 degrees",)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given, words",
    [
        ((ONES[:, :, :0], np.eye(4)), "4 x 5 x 0 are not positive"),
        ((ONES[..., None][..., :0], np.eye(4)), "dimensions 0 are not positive"),
        ((np.full((4, 4, 4), 1e300), np.eye(4)), "too large for float32"),
        ((np.ma.masked_less(ONES, 5), np.eye(4)), "masked"),
        ((ONES, np.eye(4) * 1j), "cannot be read: .*complex"),
        ((ONES, "affine"), "affine of ()"),
        ((ONES, np.eye(4)[[0, 1, 2, 2]]), "its affine ends with 0, 0, 1, 0"),
        (nibabel.AnalyzeImage(ONES, np.eye(4)), "left from right"),
    ],
)
def test_what_is_no_scan_is_one_line(given, words):
    with pytest.raises(ScanError, match=words):
        as_scan(given)


def test_an_image_whose_file_has_gone_is_one_line(tmp_path):
    image = nibabel.load(stored(tmp_path, nifti()))
    (tmp_path / "scan.nii").unlink()
    with pytest.raises(ScanError, match="in memory: cannot be read: FileNotFoundError"):
        as_scan(image)


def test_a_label_map_of_simpleitk_is_refused_before_its_array_ends_the_process():
    sitk = pytest.importorskip("SimpleITK")
    with pytest.raises(ScanError, match="is a label map"):
        as_scan(sitk.Image([4, 4, 4], sitk.sitkLabelUInt8))


def test_a_scan_whose_voxels_were_changed_is_checked_and_of_a_type_that_is_taken(tmp_path):
    scan = read_scan(stored(tmp_path, nifti()))
    assert as_scan(scan).voxels is not None and as_scan(scan).name == scan.name == "scan.nii"
    changed = as_scan(replace(scan, voxels=scan.voxels / 2, warnings=("mine",)))
    assert changed.voxels.dtype == np.float32 and changed.warnings == ("mine",)
    with pytest.raises(ScanError, match="120 of 120 voxels are NaN"):
        as_scan(replace(scan, voxels=scan.voxels * np.nan))
    with pytest.raises(ScanError, match="has a slope of nan"):
        as_scan(replace(scan, slope=float("nan")))
    with pytest.raises(ScanError, match="affine of"):
        as_scan(replace(scan, affine=np.eye(3)))
