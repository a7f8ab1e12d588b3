from __future__ import annotations

import nibabel
import numpy as np
import pytest

import maescan
from helpers.scoring_stub import rows, write_scan


@pytest.fixture(scope="module")
def model(exported_bundle):
    with maescan.load(exported_bundle, device="auto", threads=1) as loaded:
        yield loaded


def test_a_scan_scores_alike_however_it_is_given_and_as_from_the_command_line(model, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    path = write_scan(tmp_path / "scans" / "scan.nii.gz", 3)
    image = nibabel.load(path)
    result = model.score_scan(path)
    for same in (str(path), image, sitk.ReadImage(str(path)), (np.asarray(image.dataobj), image.affine)):
        found = model.score_scan(same)
        assert found.score == result.score and np.array_equal(found.map, result.map)
        assert np.allclose(found.affine, image.affine)
    model.score(tmp_path / "scans", tmp_path / "out", maescan.ScoreOptions(maps=True))
    assert float(rows(tmp_path / "out" / "scans.csv")[0]["score"]) == pytest.approx(result.score, abs=1e-6)
    heat = nibabel.load(next((tmp_path / "out" / "maps").rglob("*.nii.gz")))
    assert np.allclose(heat.get_fdata(), result.map, atol=1e-3) and result.map.shape == image.shape


def test_what_a_result_says(model, tmp_path):
    result = model.score_scan(write_scan(tmp_path / "scan.nii.gz", 3, slices=7))
    assert result.scan == "scan.nii.gz" and result.slice_scores.shape == (7,)
    assert result.slice_scores[result.highest_slice] == result.slice_scores.max()
    assert result.p_value is None and result.alert is None
    assert result.show().width == 4 * result.show().height
    result.save_map(tmp_path / "map.nii.gz")
    assert nibabel.load(tmp_path / "map.nii.gz").shape == result.map.shape


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((np.zeros((4, 4)), np.eye(4)), "array of 2 axes"),
        ((np.zeros((4, 4, 4), complex), np.eye(4)), "complex"),
        ((np.full((24, 24, 4), np.nan), np.eye(4)), "NaN"),
        ((np.ones((24, 24, 4)), np.eye(3)), "affine"),
        ("nowhere.nii.gz", "does not exist"),
        (3, "a int is no scan"),
    ],
)
def test_what_is_no_scan_is_refused(model, given, words):
    with pytest.raises(maescan.ScanError, match=words):
        model.score_scan(given)
