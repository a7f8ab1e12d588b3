from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from maescan.config import preset
from maescan.datasets.phantom import make_phantom
from maescan.method.gate import BODY, holds_hounsfield, is_label_map, other_kind, windowed
from maescan.scans import find_scans, read_scan
from maescan.scans.scan import Scan

DATA = os.environ.get("MAESCAN_DATA")
BRAIN, LUNG = preset("brats"), preset("luna16")


def scan(voxels, slope=1.0, intercept=0.0, **meta):
    return Scan(np.asarray(voxels), slope, intercept, np.eye(4), "scan", Path("scan"), "nifti", meta=meta)


def of_phantom(kind):
    made = make_phantom(kind, 0, 0, ill=False)
    return scan(made.voxels)


def test_phantoms_are_of_their_own_kind_alone():
    brain, lung = of_phantom("brain"), of_phantom("lung")
    assert other_kind(brain, BRAIN) == other_kind(lung, LUNG) == ""
    assert "Hounsfield units" in other_kind(lung, BRAIN) and "not Hounsfield" in other_kind(brain, LUNG)
    assert not is_label_map(brain) and not is_label_map(lung)


def test_tags_decide_where_there_are_any():
    ct = of_phantom("lung")
    tagged = scan(ct.voxels, Modality="MR")
    assert other_kind(tagged, BRAIN) == "" and "modality is MR" in other_kind(tagged, LUNG)
    assert "modality is PT" in other_kind(scan(ct.voxels, Modality="PT"), BRAIN)
    assert "modality is 'MARK 482'" in other_kind(scan(ct.voxels, Modality="Mark 482"), BRAIN)
    knee = scan(of_phantom("brain").voxels, Modality="MR", BodyPartExamined="KNEE")
    assert "body part is 'KNEE'" in other_kind(knee, BRAIN) and other_kind(knee, preset("tiny")) == ""
    assert other_kind(scan(knee.voxels, Modality="MR", BodyPartExamined="Head"), BRAIN) == ""


def test_a_ct_whose_values_are_not_rescaled_is_of_another_kind():
    stored, body = of_phantom("lung").voxels.astype(np.int32) + 1024, preset("luna16").replace(name="body")
    told = "its values are not Hounsfield units but 0 to"
    assert other_kind(scan(stored, Modality="CT"), LUNG).startswith(told)
    assert other_kind(scan(stored, Modality="CT", unscaled=True), body).startswith(told)
    assert other_kind(scan(np.maximum(stored, 1024), 1, -1024, Modality="CT"), body) == ""  # a part without air
    assert other_kind(scan(stored, 1, -1024, Modality="CT", unscaled=True), LUNG) == ""
    for unit, words in (("MGML", "mg/ml"), ("z_eff ", "atomic numbers"), ("HU", ""), ("HU_MOD", ""), ("US", "")):
        told = other_kind(scan(stored, 1, -1024, Modality="CT", RescaleType=unit), LUNG)
        assert told == (f"its values are not Hounsfield units but {words}, the bundle judges CT" if words else "")


@pytest.mark.parametrize(
    ("image_type", "what"),
    [
        ("DERIVED\\PRIMARY\\DIFFUSION\\ADC\\ND", "a map of a quantity (ADC)"),
        ("DERIVED\\SECONDARY\\PROJECTION IMAGE\\MIP", "a projection of slices (PROJECTION IMAGE)"),
        ("DERIVED\\PRIMARY\\MNIP\\ND", "a projection of slices (MNIP)"),
        ("ORIGINAL\\PRIMARY\\P\\ND", "an image of phase (P)"),
        ("DERIVED\\PRIMARY\\AXIAL\\MAT_SPECIFIC", "a map of a quantity (MAT_SPECIFIC)"),
        ("DERIVED\\PRIMARY\\SUBTRACTION", "a difference of images (SUBTRACTION)"),
    ],
)
def test_what_no_longer_shows_anatomy_is_of_another_kind(image_type, what):
    brain = scan(of_phantom("brain").voxels, Modality="MR", ImageType=image_type)
    assert other_kind(brain, BRAIN) == f"it is {what}, the bundle judges anatomy"


@pytest.mark.parametrize(
    "image_type", ["ORIGINAL\\PRIMARY\\M\\ND", "DERIVED\\SECONDARY\\MPR", "ORIGINAL\\SECONDARY\\AXIAL"]
)
def test_slices_of_anatomy_are_judged_however_they_were_made(image_type):
    assert other_kind(scan(of_phantom("brain").voxels, Modality="MR", ImageType=image_type), BRAIN) == ""


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (BRAIN, "BRAINSTEM CEREBRUM HEAD_NECK HEAD-NECK HEADNECK PITUITARY CEREBELLUM IAC"),
        (LUNG, "CHESTABDPELVIS LUNGS Lung NECKCHESTABDPELV CHEST_ABDOMEN CHEST-ABD-PELVIS THORAX"),
    ],
)
def test_body_parts_that_hold_the_organ_in_any_spelling(kind, parts):
    modality = "CT" if kind is LUNG else "MR"
    spaced = ["WHOLE BODY", "-", "HEAD AND NECK" if kind is BRAIN else "CHEST ABDOMEN"]
    for part in [*parts.split(), *spaced]:
        assert other_kind(scan(np.full((2, 2, 2), -900.0), Modality=modality, BodyPartExamined=part), kind) == "", (
            part
        )
    for part in ("KNEE", "L_SPINE", "NECK"):
        assert other_kind(scan(np.zeros((2, 2, 2)), Modality=modality, BodyPartExamined=part), kind), part


def test_all_parts_that_are_known_can_be_met():
    assert all(part.isalpha() and part == part.upper() for parts in BODY.values() for part in parts)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1)])
def test_a_scan_of_copied_voxels_is_no_label_map(axes):
    noise = np.random.default_rng(0).integers(0, 200, (16, 16, 16)).astype(np.uint8)
    for axis in axes:
        noise = noise.repeat(4, axis)
    assert not is_label_map(scan(noise))


def test_one_slice_of_labels_is_a_label_map():
    coarse = np.random.default_rng(0).integers(0, 60, (8, 8)).astype(np.uint8)
    assert is_label_map(scan(coarse.repeat(8, 0).repeat(8, 1)[..., None]))


def test_stored_units_count_not_stored_numbers():
    stored = np.full((40, 40, 8), 24, np.int16)
    stored[10:30, 10:30] = np.random.default_rng(0).integers(1000, 1100, (20, 20, 8))
    assert holds_hounsfield(scan(stored, intercept=-1024.0)) and not holds_hounsfield(scan(stored))


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_a_ct_may_have_padding_of_one_value_far_below_air(padding):
    units = np.random.default_rng(0).normal(-1000, 20, (40, 40, 8)).astype(np.int16)
    units[10:30, 10:30] = 40
    units[:, :8] = padding
    assert holds_hounsfield(scan(units))
    units[:, :4], units[:, 4:6] = -30000, -20000
    assert not holds_hounsfield(scan(units))
    assert not holds_hounsfield(scan(np.full((8, 8, 8), padding * 10.0, np.float32)))


@pytest.mark.parametrize("labels", [1, 3, 60])
def test_labels_in_areas_are_no_scan(labels):
    coarse = np.random.default_rng(0).integers(0, labels + 1, (4, 8, 8))
    found = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)
    assert is_label_map(scan(found.astype(np.uint8))) and is_label_map(scan(found.astype(np.float32)))


def test_eight_bit_noise_is_a_scan():
    noise = np.random.default_rng(0).integers(0, 200, (32, 32, 16)).astype(np.uint8)
    assert not is_label_map(scan(noise)) and not is_label_map(scan(noise.astype(np.float32) + 0.25))


@pytest.mark.skipif(not DATA, reason="no real scans")
def test_real_scans():
    assert DATA
    for path, label, other in (
        ("brats/BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz", False, False),
        ("brats/BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz", True, False),
        ("ms/patient07_lesions.nii.gz", True, False),
        ("healthy/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz", False, False),
        ("lung/lung1_image.nrrd", False, True),
        ("lung/LIDC-IDRI-0001", False, True),
        ("dicom/mr_mprage_40", False, False),
    ):
        found = read_scan(Path(DATA, path))
        assert (is_label_map(found), bool(other_kind(found, BRAIN))) == (label, other), path
    assert find_scans(Path(DATA, "lung"))


def test_what_was_windowed_to_8_bits_is_judged_where_training_was_alike():
    """FreeSurfer's conformed brains are of 8 bits too: a bundle trained on such scans judges them."""
    window = np.clip((of_phantom("lung").voxels.astype(float) + 1000) / 1400 * 255, 0, 255).astype(np.uint8)
    unlike = ("its values are spread otherwise than training's",)
    assert "stored in 8 bits" in windowed(scan(window), unlike) and "8 bits" in windowed(scan(window / 1.0), unlike)
    assert windowed(scan(window), ()) == "" and windowed(scan(window, Modality="MR"), unlike) == ""
    assert windowed(of_phantom("brain"), unlike) == "" and windowed(scan(window + 0.25), unlike) == ""
