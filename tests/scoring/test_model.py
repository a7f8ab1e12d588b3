from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest

import maescan
from helpers.scan_files import write_series
from helpers.scoring_stub import rows, write_scan
from helpers.stubs import stub_bundle
from maescan.engines.bundle import update


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


def test_a_bundle_of_patches_has_its_own_way(tmp_path):
    patches = maescan.preset("luna16").replace(model=maescan.preset("tiny").model)
    model = object.__new__(maescan.Model)
    model.preset, model.bundle = patches, stub_bundle(patches)
    with pytest.raises(maescan.ConfigError, match=r"patches of a CT \(use score, with ReadOptions"):
        model.score_scan(tmp_path, read=maescan.ReadOptions(regions=maescan.LungTiles()))
    model.preset = maescan.preset("tiny")
    with pytest.raises(maescan.ConfigError, match="scores whole slices"):
        model.score_scan(tmp_path, read=maescan.ReadOptions(regions=maescan.LungTiles()))


def test_what_a_result_says(model, tmp_path):
    result = model.score_scan(write_scan(tmp_path / "scan.nii.gz", 3, slices=7))
    assert result.scan == "scan.nii.gz" and result.slice_scores.shape == (7,)
    assert result.slice_scores[result.highest_slice] == result.slice_scores.max()
    assert result.p_value is None and result.alert is None
    assert result.show().width == 4 * result.show().height
    for _ in range(2):  # a map makes way for another
        result.save_map(tmp_path / "map.nii.gz")
    before = (tmp_path / "scan.nii.gz").read_bytes()
    with pytest.raises(maescan.DataError, match="is no map of maescan, and would be lost"):
        result.save_map(tmp_path / "scan.nii.gz")
    assert (tmp_path / "scan.nii.gz").read_bytes() == before
    with pytest.raises(maescan.ConfigError, match=r"ends with \.nii\.gz"):
        result.save_map(tmp_path / "map.nii")
    saved, scale = nibabel.load(tmp_path / "map.nii.gz"), result.scale
    assert saved.shape == result.map.shape
    assert saved.header["descrip"].item().decode() == scale.describe()  # as of a map of a folder
    assert saved.header["cal_max"] == np.float32(scale.top) > 0


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


def test_one_volume_of_several_and_faults_are_chosen_as_on_the_command_line(model, tmp_path):
    one = nibabel.load(write_scan(tmp_path / "one.nii.gz", 3))
    voxels = np.asarray(one.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.stack([voxels[::-1], voxels], -1), one.affine), tmp_path / "two.nii.gz")
    with pytest.raises(maescan.ScanError, match="holds 2 volumes"):
        model.score_scan(tmp_path / "two.nii.gz")
    chosen = model.score_scan(tmp_path / "two.nii.gz", read=maescan.ReadOptions(volume=1))
    assert np.array_equal(chosen.slice_scores, model.score_scan(one).slice_scores)
    labels = np.zeros((24, 24, 4), np.uint8)
    labels[4:16, 4:16], labels[8:20, 8:20] = 1, 3
    with pytest.raises(maescan.ScanError, match="label map"):
        model.score_scan((labels, np.eye(4)))
    taken = model.score_scan((labels, np.eye(4)), read=maescan.ReadOptions(accept=frozenset({"labels"})))
    assert len(taken.slice_scores) == 4


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda model, path: model.score([], "out"), "no path was given"),
        (lambda model, path: model.score("", "out"), "a scan's path cannot be '', a str"),
        (lambda model, path: model.score([path, None], "out"), "a scan's path cannot be 'None', a NoneType"),
        (lambda model, path: model.score(path, ""), "out cannot be ''"),
        (
            lambda model, path: model.score(path, "out", {"maps": True}),
            "options .*give a maescan.ScoreOptions",
        ),
        (lambda model, path: model.score_scan(""), "a path cannot be ''"),
        (
            lambda model, path: model.score_scan(path, read={"volume": 1}),
            "read .*give a maescan.ReadOptions",
        ),
        (lambda model, path: model.score_scan(path, alert_rate="0.05"), "--alert-rate cannot be '0.05', a str"),
        (lambda model, path: maescan.load(None), "bundle cannot be 'None'"),
        (lambda model, path: maescan.Model(path, {}), "options cannot be '{}'"),
        (lambda model, path: maescan.read_scan(3), "a path cannot be '3'"),
        (lambda model, path: maescan.read_scan(path, accept="shear"), "--accept cannot be 'shear'"),
        (lambda model, path: maescan.read_scan(path, volume="0"), "--volume cannot be '0'"),
        (lambda model, path: maescan.find_scans(None), "a path cannot be 'None'"),
        (lambda model, path: maescan.preset(3), "unknown preset '3'"),
    ],
)
def test_what_python_gives_of_another_kind_is_refused_in_one_line(model, tmp_path, monkeypatch, use, words):
    path = write_scan(tmp_path / "scan.nii.gz", 3)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(maescan.ConfigError, match=words):
        use(model, path)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_in_a_process_that_forked_a_model_says_so_instead_of_waiting_for_ever(model, tmp_path, monkeypatch):
    path = write_scan(tmp_path / "scan.nii.gz", 3)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(maescan.ConfigError, match=r"was loaded in another process \(load it in the process"):
            model.score_scan(path)
        model.close()
    assert model.score_scan(path).score > 0


def test_a_rate_out_of_range_is_refused(model, tmp_path):
    with pytest.raises(maescan.ConfigError, match="alert-rate 2"):
        model.score_scan(write_scan(tmp_path / "scan.nii.gz", 3), alert_rate=2)


def test_threads_share_a_model(model, tmp_path):
    scans = [nibabel.load(write_scan(tmp_path / f"{n}.nii.gz", n, slices=6)) for n in range(4)]
    alone = [model.score_scan(scan).slice_scores for scan in scans]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda scan: model.score_scan(scan).slice_scores, scans * 3))
    assert all(np.array_equal(found, expected) for found, expected in zip(together, alone * 3, strict=True))


def test_a_result_says_where_a_scan_is_not_like_the_calibrations(exported_bundle, tmp_path):
    bundle = shutil.copytree(exported_bundle, tmp_path / "bundle")
    reference = {"scans": [0.1] * 20, "slices": [0.1] * 120, "scores_sha256": "0" * 64}
    update(bundle, calibration={**reference, "figures": {"voxel size": [1.0] * 20}})
    with maescan.load(bundle, threads=1) as model:
        said = model.score_scan(write_scan(tmp_path / "scan.nii.gz", 3, slices=2)).warnings
    assert said[-2:] == (
        "its voxels are as large as cubes of 7.94 mm, the calibration's of 1 mm",
        "it has 2 slices, the calibration's scans 6: the more, the higher the highest",
    )


def test_a_closed_model_says_so_and_its_bundle_can_be_loaded_again(exported_bundle, tmp_path):
    path = write_scan(tmp_path / "scan.nii.gz", 3)
    with pytest.raises(ValueError, match="mine"), maescan.load(exported_bundle, threads=1) as model:
        raise ValueError("mine")
    for use in (lambda: model.score_scan(path), lambda: model.score(path, tmp_path / "out")):
        with pytest.raises(maescan.ConfigError, match=r"this model is closed \(load it again\)"):
            use()
    model.close()
    with maescan.load(exported_bundle, threads=1) as again:
        assert len(repr(again.score_scan(path))) < 300


@pytest.mark.slow
def test_a_slice_that_is_missing_has_no_score(model, tmp_path):
    values = np.random.default_rng(0).integers(200, 900, (6, 24, 24), dtype=np.int16)
    write_series(tmp_path, values, depths=(0, 1, 3, 4, 5, 6), Modality="MR", PixelSpacing=[10, 10], step=(0, 0, 5))
    found = model.score_scan(tmp_path, read=maescan.ReadOptions(accept=["missing-slices"]))
    assert np.flatnonzero(np.isnan(found.slice_scores)).tolist() == [2] and found.highest_slice != 2
    assert np.isfinite(found.score) and not found.map[..., 2].any() and found.map[..., 3].any()
    assert "what is missing is not scored: slice 2" in found.warnings
