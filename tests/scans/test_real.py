"""Real scans: the voxels and the affine are SimpleITK's, or the scan is refused for its own reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan
from maescan.scans.geometry import LPS_TO_RAS

sitk = pytest.importorskip("SimpleITK")
DATA = Path(os.environ.get("MAESCAN_DATA", ""))
needs_data = pytest.mark.skipif(not os.environ.get("MAESCAN_DATA"), reason="MAESCAN_DATA is not set")
FOUND = find_scans(DATA) if os.environ.get("MAESCAN_DATA") else []
SOURCES = {source.path.relative_to(DATA).as_posix(): source for source in FOUND}
REFUSED = {
    "oddities/complex.nii.gz": "complex numbers",
    "oddities/pcasl.nii.gz": "holds 10 volumes",
    "oddities/shear.nii.gz": "sheared by 18.5 degrees",
    "dicom/encodings/explicit_little.dcm": "no ImagePositionPatient",
    "dicom/encodings/jpeg_lossless_sel1.dcm": "localizer",
}
READ = sorted(set(SOURCES) - set(REFUSED))
TOLERANCE = {"dicom/mr_oblique_pd": 4e-3}  # uneven positions: ITK keeps to the normal, we to the first and last slice


def reference(source: object) -> tuple[np.ndarray, np.ndarray]:
    """Values [X, Y, Z] and affine to RAS+ as SimpleITK has them."""
    files = [str(file) for file in source.files]
    if source.format == "dicom" and len(files) > 1:
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(source.path))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    image = sitk.ReadImage(files if len(files) > 1 and source.format == "dicom" else files[0])
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, LPS_TO_RAS @ affine


@needs_data
@pytest.mark.parametrize("name", REFUSED)
def test_refused_for_its_own_reason(name):
    with pytest.raises(ScanError, match=REFUSED[name]):
        read_scan(SOURCES[name])


@needs_data
def test_all_of_the_folder_is_read_or_refused():
    assert set(REFUSED) <= set(SOURCES) and len(READ) >= 30


@needs_data
@pytest.mark.parametrize("name", READ)
def test_voxels_are_simpleitks(name):
    scan = read_scan(SOURCES[name])
    values, expected = scan.voxels * np.float64(scan.slope) + scan.intercept, reference(SOURCES[name])[0]
    wrong = np.abs(values - expected) > 1e-4
    if padded := [int(w.split()[0]) for w in scan.warnings if "padding" in w]:
        assert wrong.sum() <= padded[0] and (values[wrong] == values.min()).all()
    else:
        assert not wrong.any()


@needs_data
@pytest.mark.parametrize("name", READ)
def test_affine_is_simpleitks(name):
    scan = read_scan(SOURCES[name])
    if any("guess" in w or "single slice" in w for w in scan.warnings):
        pytest.skip("the file does not say, every reader guesses")
    assert np.allclose(scan.affine, reference(SOURCES[name])[1], rtol=0, atol=TOLERANCE.get(name, 1e-3))


@needs_data
@pytest.mark.parametrize("name", [n for n in READ if n.startswith(("dicom/mr", "dicom/ct", "lung/LIDC"))])
def test_first_and_last_slice_lie_where_their_headers_say(name):
    pydicom = pytest.importorskip("pydicom")
    scan, files = read_scan(SOURCES[name]), SOURCES[name].files
    positions = [pydicom.dcmread(f, stop_before_pixels=True).ImagePositionPatient for f in files]
    for index in (0, scan.shape[2] - 1):
        corner = LPS_TO_RAS @ scan.affine @ [0, 0, index, 1]
        assert np.abs(np.array(positions, float) - corner[:3]).max(axis=1).min() < 1e-3


@needs_data
def test_an_enhanced_image_is_highdicoms():
    highdicom = pytest.importorskip("highdicom")
    scan = read_scan(SOURCES["oddities/enh.dcm"])
    volume = highdicom.imread(SOURCES["oddities/enh.dcm"].path).get_volume().flip_spatial(0)
    assert np.array_equal(volume.array, scan.voxels.transpose(2, 1, 0))
    assert np.allclose(LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]], scan.affine, rtol=0, atol=1e-3)
