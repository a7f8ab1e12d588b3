from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from maescan import files
from maescan.config import preset
from maescan.errors import ScanError
from maescan.method.healthy import CELLS, HealthyMaps
from maescan.results.geometry import Geometry
from maescan.results.maps import Scale, map_key, quantised, read_map, write_exceedance, write_map

AFFINE = np.array([[-1.5, 0, 0, 40], [0, 1.5, 0, -30], [0, 0, 4, -20], [0, 0, 0, 1.0]])
BRATS = preset("brats")


def volume(seed=0, shape=(48, 40, 24)):
    return np.random.default_rng(seed).gamma(1, 0.1, shape).astype(np.float32)


def healthy(p99=0.25):
    return Scale.of(BRATS, {"maps": HealthyMaps(1.0, p99, np.full((19, *CELLS), 80, np.uint8)).to_json()})


def test_a_map_says_what_it_is_and_how_it_is_shown(tmp_path):
    write_map(tmp_path / "a.nii.gz", volume(), AFFINE, healthy())
    image = nibabel.load(tmp_path / "a.nii.gz")
    header = image.header
    assert header["descrip"] == b"|scan - reconstruction|, of intensities 0 to 2; p99 of healthy 0.25"
    assert (header["cal_min"], header["cal_max"]) == (0, 0.5) and header.get_xyzt_units()[0] == "mm"
    assert header.get_data_dtype() == np.int16 and np.allclose(image.affine, AFFINE) and image.shape == (48, 40, 24)
    assert header.get_intent()[0] == "estimate" and header.get_intent()[2] == "anomaly"


@pytest.mark.parametrize("name", ["brats", "brats-official", "luna16", "brats+"])
def test_an_uncalibrated_map_has_the_presets_scale(tmp_path, name):
    scale = Scale.of(preset(name))
    write_map(tmp_path / "a.nii.gz", volume(), AFFINE, scale)
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert header["cal_max"] == scale.full == scale.top and len(scale.describe()) < 80


def test_values_are_right_to_half_a_step_whatever_was_calibrated(tmp_path):
    values = volume()
    for scale in (Scale.of(BRATS), healthy()):
        write_map(tmp_path / "a.nii.gz", values, AFFINE, scale)
        found, affine = read_map(tmp_path / "a.nii.gz")
        assert np.abs(found - values).max() <= scale.step / 2 * 1.001 and scale.step == 1 / 1024
        assert np.array_equal(found, quantised(values, scale)) and np.allclose(affine, AFFINE)
    write_map(tmp_path / "b.nii.gz", 1000 * values, AFFINE, scale)
    assert np.allclose(read_map(tmp_path / "b.nii.gz")[0], 1000 * values, atol=0.04)


def test_it_takes_a_third_of_what_float32_takes_and_is_the_same_each_time(tmp_path):
    """As smooth as maps are: of patches, brought to the scan's grid."""
    values = np.kron(volume(shape=(24, 20, 12)), np.ones((4, 4, 4), np.float32)) * volume(1, (96, 80, 48))
    values[:30] = values[70:] = 0
    write_map(tmp_path / "a.nii.gz", values, AFFINE, healthy())
    write_map(tmp_path / "b.nii.gz", values, AFFINE, healthy())
    files.write_nifti(tmp_path / "c.nii.gz", values, AFFINE)
    sizes = {name: (tmp_path / f"{name}.nii.gz").stat().st_size for name in "abc"}
    assert (
        sizes["a"] < sizes["c"] / 3 and (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    )


def test_the_key_tells_calibrations_apart(tmp_path):
    scales = [Scale.of(BRATS), healthy(), healthy(0.3)]
    for scale in scales:
        write_map(tmp_path / "a.nii.gz", volume(), AFFINE, scale)
        assert map_key(tmp_path / "a.nii.gz") == scale.key
    assert len({scale.key for scale in scales}) == 3 and map_key(tmp_path / "none") is None
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"short"))
    assert map_key(tmp_path / "a.nii.gz") is None
    with pytest.raises(ScanError, match=r"cannot be read \(score its scan again with --force\)"):
        read_map(tmp_path / "a.nii.gz")


def test_an_exceedance_map_lies_on_the_scans_grid(tmp_path):
    values, scale = np.zeros((48, 40, 24), np.float32), healthy()
    values[30:, 10:14, 3] = 1.5
    geometry = Geometry(24, (0, 4), (0, 1), "k", ((0, 24), (0, 40), (0, 48)))
    write_exceedance(tmp_path / "a.nii.gz", values, AFFINE, scale, geometry)
    image = nibabel.load(tmp_path / "a.nii.gz")
    shares = image.get_fdata()
    assert np.allclose(image.affine, AFFINE) and np.allclose(shares[values > 0], 1 / 20, atol=1e-4)
    assert np.allclose(shares[values == 0], 1) and image.header["cal_max"] == 1
    assert b"share of 19 healthy scans as high at this place" in bytes(image.header["descrip"])
    with pytest.raises(ScanError, match="no healthy maps"):
        write_exceedance(tmp_path / "b.nii.gz", values, AFFINE, Scale.of(BRATS), geometry)
