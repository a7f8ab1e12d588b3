from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from maescan.config import preset
from maescan.datasets.phantom import make_phantom
from maescan.method.intensity import (
    FIGURES,
    SPREAD,
    expected_ranges,
    intensity_statistics,
    outside_training,
    training_ranges,
)
from maescan.method.preprocess import prepare
from maescan.scans import Scan, read_scan

DATA = os.environ.get("MAESCAN_DATA")
WIDE = preset("tiny").replace(grid__field_mm=240.0)


def disc(level: float, share: float = 0.5) -> np.ndarray:
    images = np.zeros((3, 20, 20), np.float32)
    images[:, : round(20 * share)] = np.linspace(0.5, 1.5, 20) * level
    return images


def test_figures_of_a_slice_that_is_half_tissue():
    found = intensity_statistics(disc(1.0))
    assert (
        found["share"] == 0.5
        and found["mean"] == pytest.approx(1.0)
        and found["std"] == pytest.approx(0.3035, abs=1e-3)
    )
    assert found["contrast"] == pytest.approx(0.4, abs=0.01)


def test_contrast_and_share_do_not_depend_on_where_air_lies():
    one, two = intensity_statistics(disc(1.0)), intensity_statistics(disc(1.0) - 10.24)
    assert two["mean"] == pytest.approx(one["mean"] - 10.24, abs=1e-5)
    assert [two[n] for n in FIGURES[1:]] == pytest.approx([one[n] for n in FIGURES[1:]], abs=1e-5)


def test_a_blank_scan_has_figures():
    found = intensity_statistics(np.full((2, 8, 8), -3.0))
    assert found.pop("mean") == -3.0 and set(found.values()) == {0.0} and set(found) > {"std", "noise", "p50"}


def test_ranges_hold_every_scan_they_were_made_of_and_little_else():
    found = [intensity_statistics(disc(level)) for level in (0.9, 1.0, 1.1)]
    expected = expected_ranges(found)
    assert not any(outside_training(each, expected) for each in found)
    (warning,) = outside_training(intensity_statistics(disc(1.0, share=0.1)), expected)
    assert warning == "its share of foreground is 0.1, outside training's 0.375 to 0.625"


def test_training_ranges_are_of_patients_in_any_order():
    images, patients = np.concatenate([disc(1.0), disc(1.2)]), np.array(["b"] * 3 + ["a"] * 3)
    both = expected_ranges([intensity_statistics(disc(1.2)), intensity_statistics(disc(1.0))])
    assert training_ranges(images, patients, patients) == both
    assert training_ranges(images[::-1], patients[::-1], ["a", "a"]) == expected_ranges(
        [intensity_statistics(disc(1.2))]
    )


def phantom_figures(kind: str, index: int, ill: bool = False, noisy_air: bool = False) -> dict[str, float]:
    made = make_phantom(kind, index, 5, ill=ill, shape=(48, 48, 16), noisy_air=noisy_air)
    scan = Scan(made.voxels, 1.0, 0.0, made.affine, "phantom", Path("phantom"), "nifti")
    fit = prepare(scan, WIDE).fit
    return {name: fit[name] for name in (*FIGURES, *SPREAD)}


def test_lesions_are_not_flagged_and_another_organ_is():
    expected = expected_ranges([phantom_figures("brain", index) for index in range(8)])
    assert not any(outside_training(phantom_figures("brain", index, ill=True), expected) for index in range(8, 14))
    assert all(outside_training(phantom_figures("lung", index), expected) for index in range(3))


def test_noise_and_detail_are_measured():
    rng = np.random.default_rng(0)
    smooth = np.tile(1 + np.sin(np.linspace(0, 6, 64)), (4, 64, 1)).astype(np.float32)
    noisy = [
        intensity_statistics(smooth + level * rng.normal(0, smooth.std(), smooth.shape)) for level in (0.05, 0.1, 0.2)
    ]
    assert [each["noise"] for each in noisy] == pytest.approx([0.05, 0.1, 0.2], rel=0.1)
    assert intensity_statistics(smooth)["detail"] == pytest.approx(0.5, abs=0.01)
    assert 0.51 < noisy[0]["detail"] < noisy[1]["detail"] < noisy[2]["detail"]


def test_a_ct_that_was_exported_with_8_bits_is_unlike():
    """Its figures may lie within training's; how its values are spread, or how little noise there is, does not."""
    expected = expected_ranges([phantom_figures("brain", index) for index in range(12)])
    chest = make_phantom("lung", 0, 5, ill=False, shape=(48, 48, 16))
    for low, high in ((-160, 240), (-1024, 400), (-1024, 3071), (0, 80)):
        voxels = (
            (np.clip((chest.voxels.astype(np.float32) - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)
        )
        scan = Scan(voxels, 1.0, 0.0, chest.affine, "ct", Path("ct"), "nifti")
        assert outside_training(prepare(scan, WIDE).fit, expected), (low, high)


@pytest.mark.skipif(not DATA, reason="MAESCAN_DATA is not set")
def test_real_scans_of_another_kind_are_flagged():
    def found(name: str) -> dict[str, float]:
        return prepare(read_scan(Path(DATA or "", name)), WIDE).fit

    brats = [found(f"brats/BraTS20_Training_00{i}/BraTS20_Training_00{i}_flair.nii.gz") for i in (1, 2, 3)]
    expected = expected_ranges(brats)
    assert not any(outside_training(each, expected) for each in brats)
    others = ("lung/LIDC-IDRI-0001", "dicom/ct_jpeg2000", "healthy/chris_t1.nii.gz", "ms/patient07_T1.nii.gz")
    assert all(outside_training(found(name), expected) for name in others)
