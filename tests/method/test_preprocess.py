from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.shapes import ball
from maescan.config import GridConfig, IntensityConfig, preset
from maescan.errors import ScanError
from maescan.method.preprocess import prepare, to_grid, to_source, upright
from maescan.scans import Scan, axial_view

TINY = preset("tiny").replace(grid__field_mm=240.0)
METHODS = ("zscore", "none", "hu", "standard")
ZSCORE, NONE, HU, STANDARD = (TINY.replace(intensity=IntensityConfig(method)) for method in METHODS)


def scan_of(view: np.ndarray, slope: float = 1.0, intercept: float = 0.0, mm: float = 5.0) -> Scan:
    """A scan whose axial view is `view` [S, H, W]."""
    affine = np.diag([mm, -mm, mm, 1.0])
    return Scan(view.transpose(2, 1, 0), slope, intercept, affine, "made", Path("made.nii"), "nifti")


@pytest.mark.parametrize("air, low, high", [(0, 100, 900), (-2.75, -2.7, 4), (0, -30, 400), (1000, 20, 900)])
def test_tissue_spans_0_to_top_and_air_is_0_wherever_it_lay(air, low, high):
    view, inside = ball(air, low, high)
    images = prepare(scan_of(view), TINY).images
    seen = to_grid(inside, prepare(scan_of(view), TINY))
    assert images.min() == 0 and 1.8 < np.percentile(images[seen], 98) <= 2.2
    assert images[:, 0].max() == 0


def test_air_is_0_up_to_where_tissue_blurs_into_it():
    view, _ = ball(0, 400, 900)
    made = prepare(scan_of(view, mm=4.7), TINY)
    over = (made.images > 0).mean()
    assert made.area.mean() <= over < 1.2 * made.area.mean() and made.images[made.images > 0].min() >= 0.004


def test_noise_in_air_becomes_0():
    view, inside = ball(0, 400, 900, noise=40)
    made = prepare(scan_of(view), TINY)
    assert np.percentile(made.images[~to_grid(inside, made)], 80) == 0


@pytest.mark.parametrize("chosen", [TINY, ZSCORE])
@pytest.mark.parametrize("noise", [0, 40])
def test_a_negative_slope_changes_nothing(chosen, noise):
    view, _ = ball(0, 400, 900, noise)
    plain, reversed_ = prepare(scan_of(view), chosen), prepare(scan_of(1000 - view, -1.0, 1000.0), chosen)
    assert np.allclose(plain.images, reversed_.images, atol=1e-4) and np.array_equal(plain.area, reversed_.area)


@pytest.mark.parametrize("chosen", [TINY, ZSCORE])
def test_units_do_not_matter(chosen):
    view, _ = ball(0, 400, 900)
    assert np.allclose(
        prepare(scan_of(view), chosen).images, prepare(scan_of(view, 7.0, -50.0), chosen).images, atol=1e-4
    )


def test_zscore_has_mean_0_and_air_at_the_lowest_value():
    view, inside = ball(0, 400, 900)
    made = prepare(scan_of(view, mm=2.0), ZSCORE)  # the field is wider than the scan
    tissue = made.images[to_grid(inside, made)]
    assert abs(tissue.mean()) < 0.05 and 0.6 < tissue.std() < 1.05  # resampling smooths
    assert made.images[0, 0, 0] == made.images[6, 32].min() == made.images.min() == np.float32(made.fit["floor"])


def test_beside_a_ct_there_is_air():
    view, _ = ball(-1000, 0, 80)
    made = prepare(scan_of(view, mm=2.0), HU)
    assert np.allclose([made.images[6, 0, 0], made.images.min()], -10.24) and 0 < made.images[6, 32, 32] < 1


def test_standardised_input_is_left_as_it_is():
    view, inside = ball(-0.4, 0, 3)
    made = prepare(scan_of(view, mm=2.0), NONE.replace(grid=GridConfig(None)))
    assert made.images[6].min() == np.float32(-0.4) and 2 < made.images[6].max() <= 3
    assert made.area == pytest.approx(inside.mean(axis=(1, 2)), abs=0.08)


def test_area_is_the_share_of_tissue():
    view, inside = ball(-2.75, -2.7, 4)
    made = prepare(scan_of(view, mm=6.0), TINY)
    assert made.area == pytest.approx(inside.mean(axis=(1, 2)), abs=0.05)


@pytest.mark.parametrize("value, reason", [(0, "nothing but air"), (5, "nothing but air")])
def test_an_empty_scan_is_refused(value, reason):
    with pytest.raises(ScanError, match=reason):
        prepare(scan_of(np.full((4, 20, 20), value, np.int16)), TINY)


def test_slices_too_small_are_refused():
    with pytest.raises(ScanError, match="7 x 20 voxels are too small"):
        prepare(scan_of(np.ones((4, 7, 20), np.int16)), TINY)


def test_a_scan_unlike_training_is_prepared_with_a_warning_that_names_the_figure():
    view, _ = ball(0, 400, 900)
    found = prepare(scan_of(view), TINY)
    expected = {"mean": [0.0, 2.0], "share": [0.8, 0.9]}
    flagged = prepare(scan_of(view), TINY, expected=expected)
    share = f"{found.fit['share']:.3g}"
    assert flagged.warnings == (f"its share of foreground is {share}, outside training's 0.8 to 0.9",)
    assert np.array_equal(flagged.images, found.images) and found.warnings == ()


def test_maps_come_back_to_where_they_belong():
    view, inside = ball(0, 400, 900)
    scan = scan_of(view)
    made = prepare(scan, TINY)
    volume = to_source(to_grid(inside, made), made)
    back = axial_view(Scan(volume, 1, 0, scan.affine, "", Path(), ""))[0]
    assert volume.shape == scan.shape and np.mean((back > 0.5) == inside) > 0.97


@pytest.mark.parametrize("flips", [(1, 1), (-1, -1), (-1, 1)])
def test_orientation_changes_what_the_models_see_and_not_where_maps_lie(flips):
    view, _ = ball(0, 400, 900)
    view, spot = view.copy(), np.zeros(view.shape, bool)
    spot[5:8, 10:14, 22:30] = True
    affine = np.diag([flips[0] * 5.0, flips[1] * 5.0, 5.0, 1.0])
    scan = Scan(view.transpose(2, 1, 0), 1.0, 0.0, affine, "made", Path("made.nii"), "nifti")
    array = TINY.replace(grid__orientation="array")
    plain, turned = prepare(scan, TINY), prepare(scan, array)
    assert np.allclose(turned.images, plain.images.transpose(0, 2, 1), atol=1e-5)
    assert np.array_equal(upright(turned.images, array), turned.images.transpose(0, 2, 1))
    assert np.allclose(turned.area, plain.area, atol=1e-3)
    seen = [to_grid(spot, made) for made in (plain, turned)]
    assert np.array_equal(seen[1], seen[0].transpose(0, 2, 1)) and seen[0].any()
    assert np.array_equal(to_source(seen[0], plain), to_source(seen[1], turned))


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_standard_has_mean_0_and_deviation_1_over_all_voxels_and_adds_no_value(slope):
    view, _ = ball(0, 400, 900, noise=30)
    scan = scan_of(view if slope > 0 else 1000 - view, slope, 0.0 if slope > 0 else 1000.0)
    same = STANDARD.replace(model__image_size=64, grid=GridConfig(None))
    wanted = (view - view.mean(dtype=np.float64)) / view.std(dtype=np.float64)
    made = prepare(scan, same).images
    for level, slice_ in enumerate(made):
        assert wanted[level].min() - 1e-4 <= slice_.min() and slice_.max() <= wanted[level].max() + 1e-4
    assert abs(made.mean() - wanted.mean()) < 0.02 and abs(made.std() - 1) < 0.1


def test_tissue_as_dark_as_air_stays_over_it():
    view, _ = ball(0, 400, 900)
    dark = np.zeros(view.shape, bool)
    dark[:, 15:25, 15:25] = view[:, 15:25, 15:25] > 0
    view[dark] = 1
    made, inner = prepare(scan_of(view), TINY), np.zeros(view.shape, bool)
    inner[:, 17:23, 17:23] = dark[:, 17:23, 17:23]
    assert made.images[:, 0].max() == 0 and 0.04 < np.percentile(made.images[to_grid(inner, made)], 2) < 0.2


def test_area_and_box_of_more_slices_than_a_byte_counts():
    """They are counted in bytes, 255 slices at a time: to the bit what the mean and the sums are."""
    values = np.zeros((20, 24, 300), np.int16)
    values[4:17, 6:20] = np.random.default_rng(0).integers(200, 900, (13, 14, 300))
    scan = Scan(values, 1.0, 0.0, np.diag([2.0, 2, 2, 1]), "deep", Path("deep"), "nifti")
    prepared = prepare(scan, preset("tiny"))
    tissue = prepared.images > prepared.fit["air"]
    assert np.array_equal(prepared.area, tissue.mean(axis=(1, 2), dtype=np.float64).astype(np.float32))
    sums = [tissue.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    shares = [np.cumsum(count) / count.sum() for count in sums]
    ends = [np.searchsorted(share, [0.005, 0.995]) + np.array([0, 1]) for share in shares]
    places = zip(prepared.starts, ends[1:], prepared.steps, strict=True)
    expected = [ends[0], *(start + end * step for start, end, step in places)]
    assert np.array_equal(prepared.box, expected)


@pytest.mark.parametrize("orientation", ["radiological", "array"])
@pytest.mark.parametrize(("axis", "before"), [(1, True), (1, False), (2, True), (2, False)])
def test_tissue_outside_the_field_is_told_and_moves_nothing(axis, before, orientation):
    """The field lies in the middle of the image, wherever the tissue is."""
    view, inside = ball(0, 400, 900)
    narrow = TINY.replace(grid__orientation=orientation, grid__field_mm=5.0 * min(view.shape[1:]))
    assert prepare(scan_of(view), narrow).notes == ()
    pads = [(0, 0)] * 3
    pads[axis] = (24, 0) if before else (0, 24)
    wide = prepare(scan_of(np.pad(view, pads)), narrow)
    (note,) = wide.notes
    kept = np.pad(inside, pads)
    start = kept.shape[axis] // 2 - view.shape[axis] // 2
    seen = np.take(kept, range(start, start + view.shape[axis]), axis).sum() / inside.sum()
    assert abs(float(note.partition("%")[0]) / 100 - (1 - seen)) < 0.03
    assert "crop the scan around the head" in note and wide.warnings == ()
    (of_ct,) = prepare(scan_of(np.pad(view, pads)), narrow.replace(intensity__method="hu")).notes
    assert "crop the scan around the body part that is meant" in of_ct


def test_little_tissue_outside_the_field_is_its_edge():
    view, _ = ball(0, 400, 900)
    wide = np.pad(view, [(0, 0), (24, 24), (24, 24)])
    assert prepare(scan_of(wide), TINY).notes == ()
    assert prepare(scan_of(wide), TINY.replace(grid__field_mm=None)).notes == ()
