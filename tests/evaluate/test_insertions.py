"""What is put into healthy slices: where, how large, and that it is what its name says."""

import numpy as np
import pytest

from maescan.evaluate.insertions import ARTEFACTS, KINDS, LESIONS, blur, insert


def brain(seed=0, size=64):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    tissue = x**2 + y**2 < 0.7
    image = blur(rng.normal(size=(size, size)).astype(np.float32), 1.5)
    return np.where(tissue, 1 + image, 0).astype(np.float32), tissue


IMAGE, TISSUE = brain()
DONOR = brain(1)


def put(kind, number=0, seed=0, patient="p"):
    return insert(kind, IMAGE, TISSUE, DONOR, limits=(0.0, 3.0), key=(seed, patient, number))


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_depends_on_its_key_alone(kind):
    first = put(kind, 3)
    put(kind, 4)
    assert np.array_equal(first.image, put(kind, 3).image)
    for other in (put(kind, 4), put(kind, 3, seed=1), put(kind, 3, patient="q")):
        assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", LESIONS)
def test_a_lesion_changes_tissue_in_its_outline_and_nothing_in_the_air(kind):
    for number in range(8):
        one = put(kind, number)
        change = np.abs(one.image - IMAGE)
        assert np.isfinite(one.image).all() and one.image.dtype == np.float32
        assert change[~TISSUE].max() == 0 and one.mask is not None and not one.mask[~TISSUE].any()
        assert change[one.mask].mean() > 4 * change[TISSUE & ~one.mask].mean()


def test_lesions_cover_half_a_hundredth_to_a_tenth_of_the_tissue():
    shares = np.array([put("flat", n).mask.sum() / TISSUE.sum() for n in range(60)])
    assert shares.min() < 0.01 and shares.max() > 0.06 and shares.max() < 0.13


@pytest.mark.parametrize(("kind", "sign"), [("brighter", 1), ("darker", -1), ("missing tissue", -1)])
def test_contrast_has_the_direction_of_its_name(kind, sign):
    for number in range(8):
        one = put(kind, number)
        assert sign * (one.image - IMAGE)[one.mask].mean() > 0


def test_flat_and_blurred_keep_the_mean_and_lose_texture():
    for number in range(8):
        for kind in ("flat", "blurred"):
            one = put(kind, number)
            if one.mask.sum() < 40:
                continue
            assert one.image[one.mask].std() < IMAGE[one.mask].std()
            assert abs(one.image[one.mask].mean() - IMAGE[one.mask].mean()) < 0.2


def test_foreign_tissue_is_the_donors():
    donor = (np.full_like(IMAGE, 2.5), np.ones_like(TISSUE))
    one = insert("foreign tissue", IMAGE, TISSUE, donor, limits=(0.0, 3.0), key=(0, "p", 0))
    assert one.image[one.mask].max() == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_artefacts_are_everywhere_and_have_no_outline(kind):
    one = put(kind)
    assert one.mask is None and (one.image != IMAGE)[TISSUE].mean() > 0.9


def test_values_stay_within_the_limits():
    one = insert("brighter", IMAGE, TISSUE, DONOR, limits=(0.0, float(IMAGE.max())), key=(0, "p", 0))
    assert one.image.max() <= IMAGE.max()


def test_a_slice_with_little_tissue_gets_a_lesion_all_the_same():
    sliver = np.zeros_like(TISSUE)
    sliver[30:33, 10:50] = True
    for kind in LESIONS:
        one = insert(kind, np.where(sliver, IMAGE, 0), sliver, DONOR, limits=(0.0, 3.0), key=(0, "p", 1))
        assert np.isfinite(one.image).all() and one.mask.any()
