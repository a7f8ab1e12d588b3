from __future__ import annotations

import gzip
import tracemalloc

import nibabel
import numpy as np
import pytest

from maescan import files
from maescan.config import preset
from maescan.errors import ScanError
from maescan.method.healthy import CELLS, HealthyMaps
from maescan.results.geometry import Geometry
from maescan.results.maps import Scale, map_key, quantised, read_map, write_exceedance, write_map
from maescan.scans.nifti import read_nifti

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


def test_a_judges_colours_end_at_certainty_and_are_half_at_what_is_rare_in_healthy_scans(tmp_path):
    cells = np.full((19, *CELLS), 80, np.uint8)
    cells[-1, 0, 0, 0] = 160
    scale = Scale.of(preset("brats+"), {"maps": HealthyMaps(1.0, 0.1, cells).to_json()})
    assert scale.middle == pytest.approx(2 * (160.5 / 255) ** 2) and scale.top == 1
    assert scale.shares([0, scale.middle / 2, scale.middle, 1, 2]).tolist() == [0, 0.25, 0.5, 1, 1]
    write_map(tmp_path / "a.nii.gz", volume(), AFFINE, scale)
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert header["descrip"] == b"probability of anomaly; at most 5 % of healthy scans reach 0.7923"
    assert header["cal_max"] == 1


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
        found, affine, _ = read_map(tmp_path / "a.nii.gz")
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
    with pytest.raises(ScanError, match=r"cannot be read \(remove it, then score again with --maps\)"):
        read_map(tmp_path / "a.nii.gz")


def test_an_exceedance_map_lies_on_the_scans_grid(tmp_path):
    values, scale = np.zeros((48, 40, 24), np.float32), healthy()
    values[30:, 10:14, 3] = 1.5
    geometry = Geometry(24, (0, 4), (0, 1), "k", ((0, 24), (0, 40), (0, 48)))
    write_exceedance(tmp_path / "a.nii.gz", values, (AFFINE, None), scale, geometry)
    image = nibabel.load(tmp_path / "a.nii.gz")
    shares = image.get_fdata()
    assert np.allclose(image.affine, AFFINE) and np.allclose(shares[values > 0], 1 / 20, atol=1e-4)
    assert np.allclose(shares[values == 0], 1) and image.header["cal_max"] == 1
    assert b"share of 19 healthy scans as high at this place" in bytes(image.header["descrip"])
    with pytest.raises(ScanError, match="no healthy maps"):
        write_exceedance(tmp_path / "b.nii.gz", values, (AFFINE, None), Scale.of(BRATS), geometry)


FORMS = {
    "neither": {"qform_code": 0, "sform_code": 0},
    "a qform alone": {"sform_code": 0},
    "an sform alone": {"qform_code": 0},
    "a qform elsewhere": {"qform_code": 1, "sform_code": 4, "qoffset_x": 20, "qoffset_y": -30, "qoffset_z": 10},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_program_puts_a_map_where_it_puts_the_scan(tmp_path, form):
    itk = pytest.importorskip("SimpleITK")
    turn = np.diag([1.0, 1, 1, 1])
    turn[:2, :2] = [[0.96, -0.28], [0.28, 0.96]]
    image = nibabel.Nifti1Image(np.ones((9, 8, 7), np.int16), turn @ AFFINE)
    image.set_qform(image.affine, 1)
    image.to_filename(tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]))
    for name, value in FORMS[form].items():
        header[name] = value
    content[:348] = header.binaryblock
    (tmp_path / "scan.nii").write_bytes(content)
    scan = read_nifti(tmp_path / "scan.nii", "scan")
    write_map(tmp_path / "map.nii.gz", volume(shape=scan.shape), scan.affine, healthy(), scan.placed)
    for _ in range(2):  # and again when a calibration brings it up to date
        found, wanted = (itk.ReadImage(str(tmp_path / name)) for name in ("map.nii.gz", "scan.nii"))
        for corner in ((0, 0, 0), (8, 7, 6)):
            assert np.allclose(*(i.TransformIndexToPhysicalPoint(corner) for i in (found, wanted)), atol=1e-2)
        values, affine, placed = read_map(tmp_path / "map.nii.gz")
        assert np.allclose(affine, scan.affine, atol=1e-3)
        write_map(tmp_path / "map.nii.gz", values, affine, healthy(), placed)


@pytest.mark.parametrize("degrees", [0, 0.024, 0.5])
def test_a_trace_of_shear_leaves_a_map_that_itk_reads(tmp_path, degrees):
    """As oblique DICOM series have it by rounding."""
    itk = pytest.importorskip("SimpleITK")
    affine = AFFINE.copy()
    affine[1, 0] = 1.5 * np.tan(np.radians(degrees))
    write_map(tmp_path / "map.nii.gz", volume(), affine, healthy())
    files.write_nifti(tmp_path / "plain.nii.gz", volume(), affine)
    for name in ("map.nii.gz", "plain.nii.gz"):
        found = itk.ReadImage(str(tmp_path / name)).TransformIndexToPhysicalPoint((47, 39, 23))
        assert np.allclose(np.array(found) * [-1, -1, 1], (affine @ [47, 39, 23, 1])[:3], atol=0.7)


def test_a_map_is_written_in_less_memory_than_it_takes_itself(tmp_path):
    volume = np.asfortranarray(np.random.default_rng(0).random((96, 96, 200), np.float32))
    tracemalloc.start()
    write_map(tmp_path / "a.nii.gz", volume, np.eye(4), Scale(1.0, "score"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * volume.nbytes
    assert np.array_equal(read_map(tmp_path / "a.nii.gz")[0], quantised(volume, Scale(1.0, "score")))
